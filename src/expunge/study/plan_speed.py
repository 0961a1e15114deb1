"""Attacks on placebo facts where they only tell how fast a model learns: no more of the grid than shows it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from expunge import registry
from expunge.attacks.relearn import Relearn
from expunge.attacks.sources import OF_T, SWITCH
from expunge.study.sections import Attack


def for_speed(attacks: Sequence[Attack]) -> Iterator[Attack]:
    """The attacks that train the model, on the sources that show the placebo facts, and without an extension.

    Training on anything else teaches no placebo fact, so that it says nothing of the speed; points of an extension are
    seldom shared by two models. An attack none of whose sources shows T keeps them all.
    """
    for attack in attacks:
        factory = registry.get("attack", attack.name).factory
        if isinstance(factory, type) and issubclass(factory, Relearn):
            yield _shown(replace(attack, extend=False))


def _shown(attack: Attack) -> Attack:
    given = registry.build("attack", attack.name, **attack.params).sources
    shown = [name for name in given if name.rpartition(SWITCH)[2] in OF_T]
    return attack if len(shown) in (0, len(given)) else replace(attack, params={**attack.params, "sources": shown})

"""What a world is too small for, refused before anything is run.

What a model decides (which facts it knows, which are hard) can leave fewer subjects than are counted here, and never
more; that is the knowledge cell's affair.
"""

from dataclasses import replace

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge
from expunge.knowledge.requests import FEWEST, draw_requests
from expunge.study.sections import World


def room(world: World, facts: Knowledge) -> int:
    """How many subjects are forgotten at most. :class:`InputError` where more hardest ones are asked for."""
    there = len({fact.subject for fact in _cut_facts(world, facts)})
    if world.worst_case is None:
        return there
    if world.worst_case.subjects > there:
        raise InputError(
            f"worst_case.subjects is {world.worst_case.subjects}, and knowledge {world.label!r} has {there} subjects "
            "to forget; lower it."
        )
    return world.worst_case.subjects


def check_requests(world: World, facts: Knowledge, requests: int, *, filtered: bool) -> None:
    """Refuse more requests than can have a T and a V each; what the world itself asks for is not drawn.

    ``filtered``: a model decides which facts stay, so that subjects can be counted, but not those that go together.
    """
    left = room(world, facts)
    if facts.requests:
        return
    if left < FEWEST * requests:
        raise InputError(
            f"{requests} requests need {FEWEST * requests} subjects, and knowledge {world.label!r} forgets {left}; "
            "lower 'requests', or forget more."
        )
    if not filtered:
        draw_requests(_cut_facts(world, facts), requests, seed=0)  # no seed decides whether they can be drawn


def _cut_facts(world: World, facts: Knowledge) -> tuple[Fact, ...]:
    """The forget facts with the subjects by which they are cut."""
    alone = world.split_by == "fact"
    return tuple(replace(fact, subject=fact.id) for fact in facts.forget) if alone else facts.forget

"""Linear probes: can a linear map, fitted on known facts, read the unknown ones off the hidden states?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from expunge.attacks.base import Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.linear_probe_fit import Readout, fit
from expunge.attacks.linear_probe_known import SOURCES, Seen, asked_plainly, by_attribute, known_facts, seen, shuffled
from expunge.attacks.prompting import before_point, check, point_of
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.registry import attack, suggestion
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import LOWEST_LOGPROB

CONTROL = "control"
"""The set under which a point keeps what the control task's probe makes of V."""


@attack("linear_probe")
@dataclass(frozen=True, kw_only=True)
class LinearProbe(Attack):
    """Per layer and attribute, a multinomial logistic regression from hidden states to answer tokens.

    Alain and Bengio (arXiv 1610.01644); control tasks and selectivity after Hewitt and Liang (arXiv 1909.03368).
    The probe reads the state right before an answer token and names that token, among those that known answers of
    the attribute have. A V probe is hit at a layer when every answer token is named (teacher-forced, as in the primary
    score; the closing end token is not asked for). Answers of several words are so read word by word, and an answer
    that no known fact has can be read if each of its tokens occurs in some known answer.

    It is trained on facts of *other* subjects: a question's wording and the known subjects' names say nothing of a V
    answer, so that beyond guessing common answers it can be right on V only if V's own states carry the answer in the
    code in which the known facts' states carry theirs. ``sources``: ``T`` (on an unlearned model T's states may carry
    nothing any more, and a probe fitted to them learns noise), ``retain`` (all retain facts, which the model still
    knows), ``both`` (the default; T alone where nothing is retained). Guessing is measured twice: by the audit's
    never-trained control, and by the control task: the same probe fitted on the same questions with other subjects'
    answers reads V into the set ``control`` of each point. Selectivity is the share of hits on V less that on
    ``control``.

    It cannot answer a V probe with a token that no known answer of its attribute has, or whose attribute has fewer
    than two known answers; such a probe is a miss at every layer. Where no V probe at all can be answered,
    :class:`InputError` says so.

    Each layer is a point (the knob is its number, from 0). ``layers`` restricts them (``None``: all). ``forms`` are the
    probe forms that are trained on and read. ``ridge``: weight of ‖W‖²/2 beside the mean cross-entropy in nats (our
    choice). ``samples``: at most so many known facts (our choice; bounds the cost).
    """

    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "readout"
    needs: ClassVar[tuple[str, ...]] = ("weights", "T")
    paper: ClassVar[str] = "Hewitt and Liang 2019, arXiv 1909.03368"
    family: ClassVar[str] = "readout"
    name: ClassVar[str] = "linear_probe"
    budgets: ClassVar[tuple[int, ...]] = (1,)

    sources: tuple[str, ...] = ("both",)
    layers: tuple[int, ...] | None = None
    forms: tuple[str, ...] = ("qa",)
    ridge: float = 1e-3
    samples: int = 512

    def __post_init__(self) -> None:
        """Take lists and lone values for tuples; refuse empty, unknown or impossible choices."""
        for field in ("sources", "forms"):
            value = getattr(self, field)
            object.__setattr__(self, field, (value,) if isinstance(value, str) else tuple(value))
            self._demand(bool(getattr(self, field)), f"{field!r} is empty; give at least one value")
        for source in self.sources:
            self._demand(source in SOURCES, f"unknown source {source!r}; {suggestion(source, SOURCES).rstrip('.')}")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(int(layer) for layer in self.layers))
            self._demand(bool(self.layers), "'layers' is empty; give at least one, or leave it out for all")
        self._demand(self.ridge > 0, f"'ridge' is {self.ridge}; it must be above 0, or separable facts have no optimum")
        self._demand(self.samples >= 2, f"'samples' is {self.samples}; give at least 2")

    def _demand(self, fine: bool, sentence: str) -> None:
        if not fine:
            raise InputError(f"attack {self.name!r}: {sentence}.")

    def run(
        self,
        loaded: LoadedModel,
        knowledge: Knowledge,
        split: Split,
        utility: UtilityMeasure,
        *,
        seed: int,
        also_score: Mapping[str, Sequence[Fact]] | None = None,
        original: LoadedModel | None = None,
    ) -> list[AttackPoint]:
        """Fit and read at every layer; utility and T are read before only."""
        check(split)
        layers = self._chosen(loaded.view().anatomy.num_layers)
        sets = {"V": split.score, **(also_score or {})}
        asked = {name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}
        known = {source: known_facts(source, knowledge, split, self.samples) for source in self.sources}
        before = before_point(loaded, {**asked, "T": ask(split.train, loaded.encoder, self.forms)}, utility)
        read = {name: seen(loaded, items, layers) for name, items in asked.items()}
        points = []
        for source, facts in known.items():
            true = self._seen(loaded, facts, layers)
            self._demand(any(_answerable(item, true) for item in read["V"]), _NO_ANSWER)
            false = self._seen(loaded, shuffled(facts, self.forms, seed), layers)
            for place, layer in enumerate(layers):
                named, guessed = self._readouts(true, place), self._readouts(false, place)
                probes = [_reading(item, label, named, place) for label in read for item in read[label]]
                probes += [_reading(item, CONTROL, guessed, place) for item in read["V"]]
                points.append(point_of(before, source, self.name, 1, probes, knob=float(layer)))
        return [before, *points]

    def _chosen(self, count: int) -> tuple[int, ...]:
        """The layers to read. Raises :class:`InputError` for one that does not exist."""
        for layer in self.layers or ():
            self._demand(0 <= layer < count, f"layer {layer} is not in this model; choose 0 to {count - 1}")
        return self.layers or tuple(range(count))

    def _seen(self, loaded: LoadedModel, facts: Sequence[Fact], layers: Sequence[int]) -> Mapping[str, list[Seen]]:
        return by_attribute(seen(loaded, asked_plainly(facts, loaded, self.forms), layers))

    def _readouts(self, known: Mapping[str, list[Seen]], place: int) -> dict[str, Readout]:
        """One probe an attribute, at the layer in this place."""
        found = {}
        for attribute, items in known.items():
            tokens_N = torch.tensor([token for item in items for token in item.tokens])
            found[attribute] = fit(torch.cat([item.states_LND[place] for item in items]), tokens_N, self.ridge)
        return found


_NO_ANSWER = (
    "no V answer is made of tokens that known answers of its attribute have, so that no probe could name it; give "
    "retain facts with such answers, or leave this attack out"
)


def _answerable(item: Seen, known: Mapping[str, list[Seen]]) -> bool:
    """Whether known answers of the attribute have all tokens of this one."""
    members = known.get(item.asked.fact.attribute, ())
    return set(item.tokens) <= {token for member in members for token in member.tokens}


def _reading(item: Seen, label: str, readouts: Mapping[str, Readout], place: int) -> ProbeReading:
    hit, logprob = _heard(item, readouts.get(item.asked.fact.attribute), place)
    fact = item.asked.fact
    return ProbeReading(fact.id, fact.subject, item.asked.probe.form, hit, logprob, label)


def _heard(item: Seen, readout: Readout | None, place: int) -> tuple[bool, float]:
    """Whether every token is named, and the summed log-probability in nats; a floor where one cannot be named."""
    if readout is None:
        return False, LOWEST_LOGPROB
    tokens_N = torch.tensor(item.tokens)
    if not torch.isin(tokens_N, readout.classes_C).all():
        return False, LOWEST_LOGPROB
    logprobs_NC = readout.logprobs(item.states_LND[place])
    targets_N = torch.searchsorted(readout.classes_C, tokens_N)
    hit = bool((logprobs_NC.argmax(-1) == targets_N).all())
    return hit, float(logprobs_NC.gather(1, targets_N[:, None]).sum())

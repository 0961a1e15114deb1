"""What a model may know: facts, the probes that ask for them, and the sets an unlearning study needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Probe:
    """One way to ask for a fact.

    ``form`` names the surface (``qa``, ``paraphrase``, ``cloze``, ``choice``, ``prose``, ``passage`` …);
    ``perturbed`` holds wrong answers of the same kind. A document is a probe of form ``passage`` with an
    empty prompt, or a prefix as prompt and its continuation as answer.
    """

    prompt: str
    answer: str
    form: str = "qa"
    perturbed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact about one subject. Facts of one subject never fall on both sides of a split."""

    id: str
    subject: str
    probes: tuple[Probe, ...]
    attribute: str = ""
    hops: int = 1

    def of_form(self, *forms: str) -> tuple[Probe, ...]:
        """The probes whose form is one of ``forms``."""
        return tuple(probe for probe in self.probes if probe.form in forms)


@dataclass(frozen=True, slots=True)
class Leak:
    """A string that facts on both sides of a cut share; the joined subjects moved together."""

    text: str
    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The attacker may train on ``train`` (T) and is scored on ``score`` (V); no subject is in both."""

    train: tuple[Fact, ...]
    score: tuple[Fact, ...]
    leaks: tuple[Leak, ...] = ()


@dataclass(frozen=True, slots=True)
class Knowledge:
    """The sets of one study world.

    ``forget`` must go. The unlearner sees ``retain_train`` only; utility is measured on ``retain_eval``.
    ``placebo`` facts were never taught to anyone. ``streams`` are further named sets, such as
    ``same_kind`` and ``unrelated`` attack texts. ``split`` is an official T/V cut of the forget facts;
    ``None`` lets the study cut by subject. ``requests`` are an official order of forgetting: the ids of the forget
    facts that are asked for first, then second, and so on; a study reads it only where its recipe has requests.
    """

    name: str
    forget: tuple[Fact, ...]
    retain_train: tuple[Fact, ...] = ()
    retain_eval: tuple[Fact, ...] = ()
    placebo: tuple[Fact, ...] = ()
    streams: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    split: Split | None = None
    requests: tuple[tuple[str, ...], ...] = ()

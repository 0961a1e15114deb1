"""The sections of a recipe, one dataclass each."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge import registry
from expunge.core.errors import InputError
from expunge.methods.fields import fill
from expunge.methods.grammar import MethodSpec
from expunge.metrics.named import named
from expunge.models.endpoint import is_address
from expunge.scoring.engines import check_engine
from expunge.scoring.judges.base import Choice, judge_of
from expunge.study.form_axis import check_axis
from expunge.study.released import listed
from expunge.study.worst_case import WorstCase

BUILT_IN = ("tiny", "tiny-moe", "small")


def _one_of(value: Any, known: tuple[str, ...], key: str) -> str:
    """``value`` when it is one of ``known``; else :class:`InputError` with a suggestion."""
    if value not in known:
        raise InputError(f"{key} is {value!r}; {registry.suggestion(str(value), known)}")
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Where the model comes from.

    ``source`` is a folder, hub id, GGUF file, ``smollm2``, or a model built in code with random weights (``tiny``,
    ``tiny-moe``, ``small``). ``layers``, ``hidden``, ``heads`` and ``vocab`` size the ``small`` Llama, whose
    tokenizer is trained on the texts of the world.
    """

    source: str
    template: str | None = None
    revision: str | None = None
    layers: int = 4
    hidden: int = 256
    heads: int = 4
    vocab: int = 2000

    @property
    def built_in(self) -> bool:
        """Whether the weights are random, so that nothing is known before teaching."""
        return self.source in BUILT_IN

    def key(self, template: str | None) -> dict[str, Any]:
        """The fields that matter for this source; what does not matter must not change a cell's hash.

        ``template`` is the one that the world's rows are made for, used where the recipe names none.
        """
        plain = {"source": self.source, "template": self.template or template, "revision": self.revision}
        sizes = {"layers": self.layers, "hidden": self.hidden, "heads": self.heads, "vocab": self.vocab}
        return {**plain, **sizes} if self.source == "small" else plain


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One body of knowledge: a benchmark's name and parameters, and how its forget facts are cut into T and V.

    ``taught`` overrides whether the model is first taught the facts (by default what the benchmark says). ``split_by``
    ``fact`` takes each fact for a subject of its own, for worlds of too few subjects; the audit says so. ``keyword``
    keeps what says a chosen word of each subject for V (:func:`expunge.knowledge.keywords.split_by_keyword`).
    ``worst_case`` forgets the hardest subjects only (:mod:`expunge.study.worst_case`). ``form_axis`` names the forms
    over which ``worst_form`` and ``form_spread`` are read, those among them that the benchmark does not bring
    (:mod:`expunge.benchmarks.form_axis`). ``background`` is a file or folder of public texts about what is forgotten,
    for attackers (:mod:`expunge.benchmarks.background`).
    """

    name: str
    label: str
    params: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[MethodSpec, ...] | None = None
    split_fraction: float = 0.5
    taught: bool = True
    split_by: str = "subject"
    worst_case: WorstCase | None = None
    form_axis: tuple[str, ...] = ()
    background: str | None = None

    @classmethod
    def parse(cls, raw: Any) -> "World":
        """``{name, label?, methods?, split_fraction?, taught?, …parameters}``; unknown ones get a suggestion."""
        if not isinstance(raw, Mapping) or "name" not in raw:
            raise InputError("each entry of 'knowledge' needs the key 'name', such as people; add it.")
        own = {item.name for item in dataclasses.fields(cls)} - {"params"}
        params = {key: value for key, value in raw.items() if key not in own}
        built = registry.build("benchmark", raw["name"], **params)
        methods = raw.get("methods")
        return cls(
            name=raw["name"],
            label=str(raw.get("label") or raw["name"]),
            params=params,
            methods=None if methods is None else tuple(listed(entry) for entry in methods),
            split_fraction=float(raw.get("split_fraction", 0.5)),
            taught=bool(raw.get("taught", built.taught)),
            split_by=_one_of(raw.get("split_by", "subject"), ("subject", "fact", "keyword"), "split_by"),
            worst_case=WorstCase.parse(raw.get("worst_case")),
            form_axis=check_axis(raw.get("form_axis")),
            background=None if raw.get("background") is None else str(raw["background"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """The plain form that :meth:`parse` reads."""
        own: dict[str, Any] = {}
        if self.methods is not None:
            own["methods"] = [method.as_dict() for method in self.methods]
        if self.worst_case is not None:
            own["worst_case"] = self.worst_case.as_dict()
        if self.form_axis:
            own["form_axis"] = list(self.form_axis)
        if self.background is not None:
            own["background"] = self.background
        cut = {"split_fraction": self.split_fraction, "split_by": self.split_by, "taught": self.taught}
        return {"name": self.name, "label": self.label, **cut, **self.params, **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack's name and its budget grid; with ``extend`` a worst point on the grid's edge extends it once."""

    name: str
    label: str
    params: Mapping[str, Any] = field(default_factory=dict)
    extend: bool = True

    @classmethod
    def parse(cls, raw: Any) -> "Attack":
        """``{name, label?, extend?, …attack parameters}``; unknown ones get a suggestion."""
        if not isinstance(raw, Mapping) or "name" not in raw:
            raise InputError("each entry of 'attacks' needs the key 'name', such as relearn; add it.")
        params = {key: value for key, value in raw.items() if key not in ("name", "label", "extend")}
        registry.build("attack", raw["name"], **params)
        label = str(raw.get("label") or raw["name"])
        return cls(name=raw["name"], label=label, params=params, extend=bool(raw.get("extend", True)))

    def as_dict(self) -> dict[str, Any]:
        """The plain form that :meth:`parse` reads."""
        return {"name": self.name, "label": self.label, "extend": self.extend, **self.params}


@dataclass(frozen=True, slots=True, kw_only=True)
class Teach:
    """How the trunk is taught the retain facts, and θ₀ the forget facts on top of it.

    ``train`` are training settings, ``forget`` those that differ for the forget stage. ``forms`` are the taught
    surfaces (``null``: all that a world has). ``rehearsal`` is the number of retain rows mixed into the forget stage,
    as a multiple of the number of forget rows. With ``joint`` θ₀ is not made from the trunk but, like the trunk, from
    the base model, on forget and retain facts together; the trunk still is the control.
    """

    train: Mapping[str, Any] = field(default_factory=dict)
    forget: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] | None = None
    rehearsal: float = 1.0
    joint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlearn:
    """Training settings that every method shares (its own ``train`` wins), and the forms the unlearner sees."""

    train: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSection:
    """What is measured: ``samples`` texts of ``sample_tokens`` tokens stand for the original's own text;
    ``generate`` prompts a split are answered freely in at most ``answer_tokens`` tokens. ``costly`` names metrics
    that run models themselves and are measured only where a recipe asks for them, by name or by a pattern such as
    ``mia_*_auc``. ``judge`` rules on the written answers in the metric ``judged``: a judge's name, or a mapping of its
    name and parameters. ``benchmark_scores`` has the benchmark's own scores measured, where it brings some, and
    ``generative`` whether the model still follows instructions and reads ordinary text with ease
    (:mod:`expunge.benchmarks.generative`). ``engine`` ``vllm`` has the free answers of every model but the original's
    first evaluation written by vLLM; the models must lie on disk."""

    samples: int = 64
    sample_tokens: int = 24
    generate: int = 64
    answer_tokens: int = 16
    forms: tuple[str, ...] | None = None
    costly: tuple[str, ...] = ()
    judge: Choice | None = None
    benchmark_scores: bool = False
    generative: bool = False
    engine: str | None = None

    def __post_init__(self) -> None:
        """Take a lone name for a tuple of one, and a pattern for its names; refuse what is no metric or no judge."""
        object.__setattr__(self, "costly", named((self.costly,) if isinstance(self.costly, str) else self.costly))
        if self.judge is not None:
            judge_of(self.judge)
        if self.engine is not None:
            check_engine(self.engine)

    def sizes(self) -> dict[str, Any]:
        """The numbers and forms that every evaluate cell has in its config."""
        sizes = {"samples": self.samples, "sample_tokens": self.sample_tokens, "generate": self.generate}
        forms = None if self.forms is None else list(self.forms)
        return {**sizes, "answer_tokens": self.answer_tokens, "forms": forms}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """ε of the verdict, the number of bootstrap resamples, and the label of the method known to hide only, if any.

    Every method is put beside ``baseline``, a method's label; where there are ``budgets``, beside its release at the
    method's own budget.
    """

    epsilon: float = 0.10
    resamples: int = 2000
    hider: str | None = None
    baseline: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What the audit cell is told; a baseline only where there is one."""
        found = dataclasses.asdict(self)
        return found if self.baseline is not None else {key: found[key] for key in found if key != "baseline"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Models that somebody else made, read where they lie: nothing is taught; ``candidates`` (by label) are audited.

    Each is a folder, hub id, GGUF file or alias. ``control`` never knew the forget set, nor did ``null``, which is put
    in a candidate's place. Without ``original`` only absolute recovery is measured. ``not_tested`` are sentences for
    the report about attacks that were left out.
    """

    candidates: Mapping[str, str]
    original: str | None = None
    control: str | None = None
    null: str | None = None
    not_tested: tuple[str, ...] = ()

    @property
    def in_text(self) -> bool:
        """Whether a candidate lies behind an endpoint, so that all are seen in text alone."""
        return any(map(is_address, self.candidates.values()))

    @classmethod
    def parse(cls, raw: Any) -> "Given":
        """The section as it stands in a recipe; :class:`InputError` without a candidate."""
        given = fill(cls, raw, "given")
        if not isinstance(given.candidates, Mapping) or not given.candidates:
            raise InputError("given.candidates must map labels to models; name at least one.")
        if given.null is not None and given.control is None:
            raise InputError("given.null needs given.control to be compared with; name both.")
        plain = {str(label): str(path) for label, path in given.candidates.items()}
        beside = [path for path in (given.original, given.control, given.null) if is_address(path)]
        if beside and not any(map(is_address, plain.values())):
            raise InputError(
                f"{beside[0]} can only be asked, and the candidate is a model with weights; give a model with weights."
            )
        return dataclasses.replace(given, candidates=plain, not_tested=tuple(given.not_tested))

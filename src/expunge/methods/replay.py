"""Replay: a corrupted copy learns what the original says of everybody else, and what it would say of a stranger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.base import Method
from expunge.methods.grammar import MethodSpec, parse
from expunge.methods.oracle_matching import check_matching
from expunge.methods.undo import check_corruption, corrupted
from expunge.methods.work import Work
from expunge.objectives.base import Intent
from expunge.registry import method
from expunge.scopes.base import matching
from expunge.smoothing.base import Smoother
from expunge.training.references import References


@method("replay")
@dataclass(frozen=True, kw_only=True)
class Replay(Method):
    """Distil θ₀ into a corrupted copy of itself on what shows no forgotten fact.

    Three kinds of rows, all with θ₀ as the teacher: the retain facts; text that θ₀ writes itself and that names no
    forgotten subject (builder ``replayed``), which carries over what θ₀ knows and the retain facts do not show; and
    the forget questions, whose targets are what θ₀ says when an invented name stands in them (builder ``supposed``).
    The last are bounded and are what a model that never met the subject would say: nothing is pushed away from the
    truth, so nothing is damaged. No true answer of the forget set is ever read.

    Our own. It takes the corruption from UNDO (Lee et al., 2506.06278), where a teacher that already unlearned is
    distilled on retain data, so that its damage and the retain data's gaps are handed on; and the invented names from
    Liu et al. (2407.16997). ``alpha`` and ``beta`` corrupt as UNDO's do, (1 − α)·w + α·β·N, but matrices only: the
    gains of norms hold no facts. ``modules`` is a regular expression searched in the names of the matrices, such as
    ``mlp``. ``inner`` is ``output_matching`` with any smoother and scope, which acts on the forget questions. Defaults
    are our choice. It needs a model that writes sensible text from nothing, and more steps than unlearning by
    gradient; ``max_kl`` is not applied, as a corrupted model starts outside of any budget: the record says what was
    spent.
    """

    paper: ClassVar[str] = "expunge's own; after Lee et al. 2025, arXiv 2506.06278"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "meta"
    equation: ClassVar[str] = (
        "start at (1 − α)·θ₀ + α·β·N; L = α'·KL(p_θ₀‖p_θ)(retain, replayed) + γ·KL(p_θ₀(·|x′)‖p_θ(·|x)) on forget "
        "questions x, x′ with an invented name"
    )
    inner: str | Mapping[str, Any] = "output_matching"
    alpha: float = 0.6
    beta: float = 0.1
    modules: str = ""

    def __post_init__(self) -> None:
        """Refuse another inner objective, shares outside 0 to 1, and negative noise."""
        matching(self.modules)
        check_matching(self.spec, "replay")
        check_corruption(self.alpha, self.beta)

    @property
    def spec(self) -> MethodSpec:
        """The inner stage, checked."""
        return parse(self.inner)

    def streams(self) -> tuple[str, ...]:
        """What the rows are made of; the forget set itself is only asked about."""
        return ("retain", "replayed", "supposed", "invented")

    def passes(self) -> float:
        """One for what is kept, and as many as the smoother takes for what is asked."""
        smoother: Smoother = self.spec.smoothing.build()
        return 1.0 + smoother.points

    def run(self, work: Work) -> None:
        """Store what θ₀ says, corrupt it, distil."""
        spec = self.spec
        streams = {"forget": work.rows("supposed"), "retain": [*work.rows("retain"), *work.rows("replayed")]}
        said = self._said(work, streams)
        self._corrupt(work)
        work.train(
            spec.objective.build(),
            smoother=spec.smoothing.build(),
            scope=spec.scope.build(),
            streams=streams,
            references=said,
            **{**spec.train, "max_kl": None, "stop_forget_nll": None},
        )

    def _said(self, work: Work, streams: Mapping[str, Any]) -> References:
        """θ₀'s outputs; those for a forget question are the ones for its twin with the invented name."""
        asked = {**streams, "forget": work.rows("invented")}
        return work.references(asked, **dict.fromkeys(asked, ("final_hidden",)))

    def _corrupt(self, work: Work) -> None:
        wanted = matching(self.modules)
        chosen = {name: weight for name, weight in work.weights().items() if weight.ndim > 1 and wanted(name)}
        if not chosen:
            raise InputError(f"method parameter 'modules' is {self.modules!r}, which no matrix of the model matches.")
        work.put(corrupted(chosen, self.alpha, self.beta, derive(work.seed, "corruption")))

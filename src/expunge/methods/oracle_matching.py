"""Oracle matching: fine-tune towards a model that was made without the forget set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.distributed.sharding import shard_as
from expunge.methods.base import Method
from expunge.methods.grammar import MethodSpec, parse
from expunge.methods.run import OneStage
from expunge.methods.work import Work
from expunge.models.load import load
from expunge.models.loaded import LoadedModel
from expunge.objectives.base import Intent
from expunge.registry import method
from expunge.training.references import References


@method("oracle_matching")
@dataclass(frozen=True, kw_only=True)
class OracleMatching(Method):
    """Train ``output_matching`` with the outputs of the model at ``oracle``, which should be a retrained one.

    An upper bound rather than a method: whoever has the oracle need not unlearn (Georgiev et al., 2410.23232, use it
    so). ``oracle`` is a folder, a hub name or an alias of a model with the same vocabulary. It is read once, before
    training. ``inner`` is ``output_matching`` with any smoother and scope.
    """

    paper: ClassVar[str] = "Georgiev et al. 2024, arXiv 2410.23232"
    intent: ClassVar[Intent] = "removal"
    family: ClassVar[str] = "distillation"
    equation: ClassVar[str] = "L = γ·KL(p_oracle‖p_θ)(forget) + α·KL(p_oracle‖p_θ)(retain)"
    oracle: str
    inner: str | Mapping[str, Any] = "output_matching"

    def __post_init__(self) -> None:
        """Refuse another inner objective."""
        check_matching(self._spec(), "oracle_matching")

    def streams(self) -> tuple[str, ...]:
        """What the inner stage reads."""
        return OneStage(spec=self._spec()).streams()

    def passes(self) -> float:
        """Those of the inner stage."""
        return OneStage(spec=self._spec()).passes()

    def run(self, work: Work) -> None:
        """Store the oracle's outputs, then train towards them."""
        spec = self._spec()
        objective = spec.objective.build()
        needs = objective.needs()
        rows = {stream: work.rows(stream) for stream in needs.streams}
        oracle = load(self.oracle, device=work.view().device)
        _check(oracle, work.loaded)
        shard_as(oracle.model, work.loaded.model)
        refs = References.compute(oracle.view(), rows, needs, work.precision())
        # The references keep what they need of the oracle; the rest need not stay on the device.
        oracle.model.to("cpu")  # type: ignore[arg-type]
        work.train(
            objective,
            smoother=spec.smoothing.build(),
            scope=spec.scope.build(),
            references=refs,
            **spec.train,
        )

    def _spec(self) -> MethodSpec:
        return parse(self.inner)


def check_matching(inner: MethodSpec, method: str) -> None:
    """Raise :class:`InputError` unless ``inner`` is one stage of ``output_matching``, whatever smoother and scope."""
    if inner.method is not None or inner.objective.name != "output_matching":
        raise InputError(f"method parameter 'inner' is {inner.name!r}; {method} trains output_matching.")


def _check(oracle: LoadedModel, student: LoadedModel) -> None:
    """Refuse an oracle whose token ids or logits mean something else."""
    same_ids = oracle.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    if not same_ids or _width(oracle) != _width(student):
        raise InputError(
            f"the oracle {oracle.source!r} has another vocabulary than the model; choose one that shares it."
        )


def _width(loaded: LoadedModel) -> int:
    """Number of logits."""
    return len(loaded.view().anatomy.head.weight)  # type: ignore[arg-type]

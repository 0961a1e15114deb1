"""From a checked method to a changed model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.builders.base import Material
from expunge.methods.base import Method
from expunge.methods.fields import layered
from expunge.methods.grammar import MethodSpec
from expunge.methods.streams import Streams
from expunge.methods.work import Work
from expunge.training.loop import TrainResult


@dataclass(frozen=True, kw_only=True)
class OneStage(Method):
    """objective × smoothing × scope, trained once."""

    spec: MethodSpec

    def streams(self) -> tuple[str, ...]:
        """What the three parts read."""
        parts = (self.spec.smoothing.build().streams(), self.spec.scope.build().streams())
        return tuple(dict.fromkeys((*self.spec.objective.build().needs().streams, *parts[0], *parts[1])))

    def passes(self) -> float:
        """Forget passes (answers that go with them included) at each point of the smoother, and one of retain."""
        objective = self.spec.objective.build()
        kept = "retain" in objective.needs().streams
        return float(objective.forget_passes * self.spec.smoothing.build().points + kept)

    def run(self, work: Work) -> None:
        """One call of the loop."""
        spec = self.spec
        work.train(spec.objective.build(), smoother=spec.smoothing.build(), scope=spec.scope.build())


def method_of(spec: MethodSpec) -> Method:
    """The method that a spec names."""
    if spec.method is None:
        return OneStage(spec=spec)
    method: Method = spec.method.build()
    return method


def run_method(
    spec: MethodSpec,
    material: Material,
    *,
    settings: Mapping[str, Any],
    seed: int,
    folder: Path | None = None,
    progress: bool = False,
) -> TrainResult:
    """Unlearn: change ``material.loaded.model`` in place.

    ``settings`` are training settings below the method's own; ``folder`` keeps checkpoints, from which the same call
    continues. The result adds up the stages: steps, tokens and times are sums, the losses are the last stage's.
    """
    work = Work(
        streams=Streams(material, spec.builders),
        settings=layered(settings, spec.train),
        seed=seed,
        folder=folder,
        progress=progress,
        keep_stages=spec.method is not None,
    )
    method = method_of(spec)
    work.streams.prepare(method.streams())
    method.run(work)
    return _total(work)


def _total(work: Work) -> TrainResult:
    done = work.done
    last = done[-1] if done else None
    return TrainResult(
        steps=sum(result.steps for result in done),
        losses=last.losses if last else (),
        tokens=sum(result.tokens for result in done),
        stopped=last.stopped if last else "edit",
        model=work.loaded.model,
        precision=last.precision if last else "fp32",
        seconds=sum(result.seconds for result in done),
        reference_seconds=sum(result.reference_seconds for result in done),
        spent=work.spent(),
    )

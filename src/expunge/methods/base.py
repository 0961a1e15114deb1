"""A method is a named sequence of stages; each stage takes a model and returns a changed one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.methods.fields import fill, layered
from expunge.methods.grammar import MethodSpec
from expunge.models.load import LoadedModel
from expunge.models.rows import Row
from expunge.training.config import TrainConfig
from expunge.training.loop import TrainResult, train

Streams = Mapping[str, Sequence[Row]]


class Stage(Protocol):
    """One step of a method."""

    def run(
        self,
        loaded: LoadedModel,
        streams: Streams,
        settings: Mapping[str, Any],
        folder: Path | None,
        progress: bool = False,
    ) -> TrainResult:
        """Change ``loaded.model``; ``settings`` are training settings below the stage's own, ``folder`` resumes."""
        ...


@dataclass(frozen=True, slots=True)
class TrainStage:
    """objective × smoothing × scope, trained."""

    spec: MethodSpec

    def run(
        self,
        loaded: LoadedModel,
        streams: Streams,
        settings: Mapping[str, Any],
        folder: Path | None,
        progress: bool = False,
    ) -> TrainResult:
        """Train; raises :class:`InputError` when a stream that the objective reads is absent or empty."""
        objective = self.spec.objective.build()
        config = fill(TrainConfig, layered(settings, self.spec.train), f"train settings of {self.spec.name}")
        return train(
            loaded.view(),
            checked(streams, objective.needs().streams, self.spec.name),
            objective,
            config=config,
            smoother=self.spec.smoothing.build(),
            scope=self.spec.scope.build(),
            folder=folder,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class Method:
    """Stages in order; the last one's result carries the model."""

    label: str
    stages: tuple[Stage, ...]

    def run(
        self,
        loaded: LoadedModel,
        streams: Streams,
        *,
        settings: Mapping[str, Any],
        seed: int,
        folder: Path | None = None,
        progress: bool = False,
    ) -> TrainResult:
        """Run every stage on ``loaded``; stage ``i`` keeps its checkpoints in ``folder/stage-i``."""
        if not self.stages:
            raise InputError(f"method {self.label!r} has no stage; add one.")
        for index, stage in enumerate(self.stages):
            home = folder / f"stage-{index}" if folder else None
            result = stage.run(loaded, streams, {**settings, "seed": derive(seed, "stage", index)}, home, progress)
            loaded.model = result.model
        return result


def of_spec(spec: MethodSpec) -> Method:
    """The one-stage method that a shorthand names."""
    return Method(spec.label, (TrainStage(spec),))


def checked(streams: Streams, names: Sequence[str], method: str) -> Streams:
    """``streams``, when each of ``names`` has rows; else :class:`InputError` names the first that has none."""
    for name in names:
        if not streams.get(name):
            raise InputError(f"{method} reads the stream {name!r}, which has no rows; give some, or another method.")
    return streams

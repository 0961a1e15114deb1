"""One run of a method: the model, its data, and the training stages done so far."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from expunge.builders.base import Material
from expunge.core.files import stable_hash
from expunge.core.seeds import derive
from expunge.methods.fields import fill, layered
from expunge.methods.stages import StageStore
from expunge.methods.streams import Streams
from expunge.models.loaded import LoadedModel
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.objectives.base import Needs, Objective
from expunge.scopes.base import Scope
from expunge.smoothing.base import Smoother
from expunge.training.config import TrainConfig
from expunge.training.loop import TrainResult, train
from expunge.training.precision import resolve
from expunge.training.references import References
from expunge.training.stopping import Budget, Spent, mean_kl

if TYPE_CHECKING:
    from expunge.methods.grammar import MethodSpec

Weights = dict[str, Tensor]


@dataclass(kw_only=True)
class Work:
    """The model on its way through a method.

    ``settings`` are the training settings that stages start from. ``folder`` keeps checkpoints, and each finished
    stage where ``keep_stages``: a killed run repeats no finished stage. ``budget`` is θ₀'s side of the retain stream,
    which ``max_kl`` is measured against in every stage, whatever that stage retains.
    """

    streams: Streams
    settings: Mapping[str, Any]
    seed: int
    folder: Path | None = None
    progress: bool = False
    keep_stages: bool = False
    budget: Budget | None = None
    done: list[TrainResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Store θ₀'s side of the utility budget while the model still is θ₀."""
        if self.budget is None and self.settings.get("max_kl") is not None:
            self.budget = self.utility()

    @property
    def material(self) -> Material:
        """Facts and model."""
        return self.streams.material

    @property
    def loaded(self) -> LoadedModel:
        """The model as it is now, with tokenizer and encoder."""
        return self.material.loaded

    def view(self) -> View:
        """A view of the model as it is now."""
        return self.loaded.view()

    def rows(self, stream: str) -> list[Row]:
        """Token rows of a stream, built if need be."""
        return self.streams.rows(stream)

    def references(self, streams: Mapping[str, Sequence[Row]], **kinds: tuple[str, ...]) -> References:
        """What the model as it is now says: reference kinds by stream."""
        view = self.view()
        return References.compute(view, streams, Needs(tuple(streams), kinds), self.precision())

    def precision(self) -> Any:
        """The compute precision of the settings on this machine."""
        return resolve(self.settings.get("precision", "auto"), self.view().device)

    def utility(self) -> Budget:
        """A utility budget measured from the model as it is now, on retain facts that no stage trains on from here."""
        rows = self.rows(self.streams.hold_out())
        return Budget(rows, self.references({"retain": rows}, retain=("final_hidden",)))

    def drift(self, budget: Budget) -> float:
        """Mean KL(θ₀‖θ) over the budget's rows, in nats a label token, of the model as it is now."""
        return mean_kl(self.view(), budget.rows, budget.references, "retain", self.precision())

    def spent(self) -> Spent | None:
        """What the model as it is now spends of the settings' ``max_kl``, or nothing where none is set."""
        limit = self.settings.get("max_kl")
        return None if limit is None or self.budget is None else Spent(self.drift(self.budget), limit)

    def note(self, steps: int, tokens: int, stopped: str, losses: Sequence[dict[str, float]] = ()) -> None:
        """Record a change of the model that was made outside the loop, so that the method's total counts it."""
        model, precision = self.loaded.model, self.precision()
        self.done.append(TrainResult(steps, tuple(losses), tokens, stopped, model, precision, 0.0, 0.0))

    def train(
        self,
        objective: Objective,
        *,
        smoother: Smoother | None = None,
        scope: Scope | None = None,
        streams: Mapping[str, Sequence[Row]] | None = None,
        references: References | None = None,
        **own: Any,
    ) -> TrainResult:
        """One training stage; ``own`` settings win over the method's, ``streams`` over the material's."""
        index = len(self.done)
        settings = layered(self.settings, {"seed": derive(self.seed, "stage", index)}, own)
        config = fill(TrainConfig, settings, "the training settings")
        home = self.folder / f"stage-{index}" if self.folder else None
        given = self._given(objective, smoother, scope, streams or {}, config)
        kept = home is not None and self.keep_stages and config.checkpoint_every > 0
        store = StageStore(home, _mark(config, (objective, smoother, scope), given)) if home and kept else None
        result = store.load(self.loaded.model) if store else None
        if result is None:
            result = train(
                self.view(),
                given,
                objective,
                config=config,
                smoother=smoother,
                scope=scope,
                references=references,
                budget=self.budget,
                folder=home,
                progress=self.progress,
                keep_last=True,
            )
            if store:
                store.save(result)
        self.loaded.model = result.model
        self.done.append(result)
        return result

    def method(self, spec: "MethodSpec", **facts: Any) -> None:
        """Run another method as part of this one, on other ``facts`` (fields of :class:`Material`) where given."""
        from expunge.methods.run import method_of

        material = replace(self.material, **facts)
        own = facts or spec.builders
        streams = Streams(material, {**self.streams.builders, **spec.builders}) if own else self.streams
        inner = replace(self, streams=streams, settings=layered(self.settings, spec.train))
        method_of(spec).run(inner)

    def weights(self) -> Weights:
        """A copy of the model's weights, each tied tensor once."""
        return {name: weight.detach().clone() for name, weight in self.loaded.model.named_parameters()}

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrite the model's weights in place."""
        named = dict(self.loaded.model.named_parameters())
        with torch.no_grad():
            for name, value in weights.items():
                named[name].copy_(value)

    def _given(
        self,
        objective: Objective,
        smoother: Smoother | None,
        scope: Scope | None,
        streams: Mapping[str, Sequence[Row]],
        config: TrainConfig,
    ) -> dict[str, Sequence[Row]]:
        """All streams that the stage reads."""
        needs = objective.needs()
        parts = (smoother.streams() if smoother else (), scope.streams() if scope else ())
        names = {*needs.streams, *needs.references, *(name for part in parts for name in part)}
        names |= {"retain"} if config.max_kl is not None else set()
        return {name: streams[name] if name in streams else self.rows(name) for name in sorted(names)}


def _mark(config: TrainConfig, parts: Sequence[Any], streams: Mapping[str, Sequence[Row]]) -> str:
    """What tells one stage from another: settings, components and rows."""
    rows = {name: [[row.key, row.ids, row.labels] for row in found] for name, found in streams.items()}
    return stable_hash({"config": asdict(config), "components": [repr(part) for part in parts], "streams": rows})

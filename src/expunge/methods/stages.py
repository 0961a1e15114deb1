"""Finished stages of a method, so that a killed run of several stages repeats none."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from expunge.core.errors import InputError
from expunge.core.files import read_json, write_json
from expunge.distributed.sharding import ranks_of
from expunge.distributed.shards import any_sharded, cut
from expunge.distributed.store import is_parted, read_parts, shared_folder, write_parts
from expunge.training.checkpoint import Checkpoints
from expunge.training.loop import TrainResult

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class StageStore:
    """The result of one stage in ``folder/done``; it is whole or absent.

    ``mark`` names what the stage trains on and how: the result of another stage is refused, as a checkpoint would be.
    """

    folder: Path
    mark: str

    def save(self, result: TrainResult) -> None:
        """Write the weights and what the run did; the stage's checkpoints are not needed any more."""
        ranks = ranks_of(result.model)
        with shared_folder(self.folder / "done", ranks) as draft:
            weights = {name: weight.detach().contiguous() for name, weight in result.model.named_parameters()}
            if any_sharded(weights.values()):
                write_parts(weights, draft)
            else:
                save_file(weights, draft / WEIGHTS)
            if ranks.leads:
                plain = asdict(replace(result, model=None))  # type: ignore[arg-type]
                losses = [{key: _plain(value) for key, value in entry.items()} for entry in result.losses]
                write_json(draft / "result.json", {**plain, "losses": losses, "mark": self.mark})
        Checkpoints(self.folder, self.mark, ranks).clear()

    def load(self, model: PreTrainedModel) -> TrainResult | None:
        """Put the stage's weights into ``model`` and return what it did; ``None`` when it is not finished."""
        done = self.folder / "done"
        if not ranks_of(model).from_first(done.is_dir()):
            return None
        raw: dict[str, Any] = read_json(done / "result.json")
        if raw.pop("mark") != self.mark:
            raise InputError(f"{self.folder} holds a stage with other settings or data; remove it or choose a folder.")
        named = dict(model.named_parameters())
        with torch.no_grad():
            for name, value in _read(done, named).items():
                named[name].copy_(value)
        losses = tuple({key: _number(value) for key, value in entry.items()} for entry in raw["losses"])
        return TrainResult(**{**raw, "model": model, "losses": losses})


def _read(done: Path, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The stage's weights, placed as the model's are, however many processes wrote them."""
    if is_parted(done):
        return read_parts(done, lambda name, _size, _dtype: torch.empty_like(named[name], requires_grad=False))
    return {name: cut(value, named[name]) for name, value in load_file(done / WEIGHTS).items()}


def _plain(value: float) -> float | str:
    """A number, or its name where JSON has none (a budget that a NaN broke)."""
    return value if math.isfinite(value) else str(value)


def _number(value: float | str) -> float:
    return float(value) if isinstance(value, str) else value

"""Checkpoints that are whole or absent, and from which a run continues bit for bit.

A checkpoint is a folder ``checkpoint-000020`` beside ``log.jsonl``: ``tensors.safetensors`` (weights inside the scope
and the optimizer's moments), or a part from each rank where the weights are spread, and ``state.json``. Either is read
on any number of ranks. Data order and random state are functions of seed and step, so they
need no storing.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from expunge.core.errors import InputError
from expunge.core.files import file_hash, read_json, write_json
from expunge.distributed.ranks import ALONE, Ranks
from expunge.distributed.shards import any_sharded, cut
from expunge.distributed.store import is_parted, parts_hash, read_parts, shared_folder, write_parts

TENSORS = "tensors.safetensors"
_NAME = re.compile(r"checkpoint-(\d{6,})")


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in ``folder``. ``fingerprint`` names the run: another run's are refused."""

    folder: Path
    fingerprint: str
    ranks: Ranks = ALONE

    def save(
        self,
        step: int,
        weights: Mapping[str, Parameter],
        optimizer: Optimizer,
        state: dict[str, Any],
        extra: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write the checkpoint of ``step``, ``extra`` tensors with it; only then remove the older ones."""
        tensors = _tensors(weights, optimizer, extra or {})
        with shared_folder(self.folder / f"checkpoint-{step:06d}", self.ranks) as draft:
            if any_sharded(tensors.values()):
                write_parts(tensors, draft)
            elif self.ranks.leads:
                save_file(tensors, draft / TENSORS)
            if self.ranks.leads:
                named = {"fingerprint": self.fingerprint, "step": step, "sha256": _hash(draft)}
                write_json(draft / "state.json", {**named, **state})
        for older in self._found()[:-1] if self.ranks.leads else ():
            shutil.rmtree(older)

    def load(
        self, weights: Mapping[str, Parameter], optimizer: Optimizer, extra: dict[str, Tensor] | None = None
    ) -> dict[str, Any] | None:
        """Restore the newest checkpoint in place (``extra`` is filled) and return its state; ``None`` without one.

        A damaged one (its state cannot be read, or its tensors have another hash) is removed: the run starts over.
        Raises :class:`InputError` when it belongs to a run with other settings, data or model.
        """
        newest = self.ranks.from_first(next(reversed(self._found()), None))
        if newest is None:
            return None
        state = self.ranks.from_first(_state(newest) if self.ranks.leads else None)
        if state is None:
            if self.ranks.leads:
                shutil.rmtree(newest)
            return None
        if state.pop("fingerprint") != self.fingerprint:
            raise InputError(f"{newest} belongs to a run with other settings or data; remove it or choose a folder.")
        tensors = _read_parts(newest, weights) if is_parted(newest) else _read(newest, weights)
        _restore(tensors, weights, optimizer)
        if extra is not None:
            extra.update({key[1]: value for key, value in _split(tensors, "extra")})
        return state

    def clear(self) -> None:
        """Remove all checkpoints and what killed runs left half-written."""
        for leftover in [*self._found(), *self.folder.glob(".checkpoint-*")] if self.ranks.leads else ():
            shutil.rmtree(leftover, ignore_errors=True)

    def _found(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        named = [(int(match[1]), path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(named)]


def _restore(tensors: Mapping[str, Tensor], weights: Mapping[str, Parameter], optimizer: Optimizer) -> None:
    slots: dict[str, dict[str, Tensor]] = {name: {} for name in weights}
    for (_, place), value in _split(tensors, "optimizer"):
        slot, name = place.split("/", 1)
        slots[name][slot] = value
    for name, weight in weights.items():
        weight.detach().copy_(tensors[f"weight/{name}"])
        if slots[name] or weight in optimizer.state:
            optimizer.state[weight] = slots[name]


def _split(tensors: Mapping[str, Tensor], kind: str) -> list[tuple[tuple[str, str], Tensor]]:
    """The tensors of a kind, by (kind, what follows), in the order of names."""
    return [((kind, key.split("/", 1)[1]), tensors[key]) for key in sorted(tensors) if key.startswith(f"{kind}/")]


def _read(checkpoint: Path, weights: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """The whole tensors of a checkpoint, each where and as the weight that it belongs to lies."""
    with safe_open(checkpoint / TENSORS, framework="pt") as stored:
        return {key: _placed(stored.get_tensor(key), _owner(key, weights)) for key in set(stored.keys())}


def _read_parts(checkpoint: Path, weights: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """The same from parts, each rank reading its own."""

    def room(key: str, size: torch.Size, dtype: torch.dtype) -> Tensor:
        weight = _owner(key, weights)
        if weight is None or weight.shape != size:
            return torch.empty(size, dtype=dtype)
        return torch.empty_like(weight, dtype=dtype, requires_grad=False)

    return read_parts(checkpoint, room)


def _owner(key: str, weights: Mapping[str, Parameter]) -> Parameter | None:
    """The weight that a tensor belongs to: ``weight/<name>``, ``optimizer/<slot>/<name>``, ``extra/<what>/<name>``."""
    return next((weights[name] for name in (key.split("/", at)[-1] for at in (1, 2)) if name in weights), None)


def _state(checkpoint: Path) -> dict[str, Any] | None:
    """What ``state.json`` says, ``None`` where the checkpoint is damaged."""
    try:
        state: dict[str, Any] = read_json(checkpoint / "state.json")
        return state if state.pop("sha256") == _hash(checkpoint) else None
    except (InputError, FileNotFoundError, KeyError, AttributeError, TypeError):
        return None


def _hash(checkpoint: Path) -> str:
    return parts_hash(checkpoint) if is_parted(checkpoint) else file_hash(checkpoint / TENSORS)


def _tensors(weights: Mapping[str, Parameter], optimizer: Optimizer, extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {f"weight/{name}": weight.detach().contiguous() for name, weight in weights.items()}
    tensors |= {f"extra/{name}": value.contiguous() for name, value in extra.items()}
    for name, weight in weights.items():
        for slot, value in optimizer.state.get(weight, {}).items():
            tensors[f"optimizer/{slot}/{name}"] = value.detach().contiguous()
    return tensors


def _placed(value: Tensor, weight: Parameter | None) -> Tensor:
    """What has a weight's shape lies where the weight does, in its memory order and its parts."""
    if weight is None:
        return value
    if value.shape != weight.shape:
        return value.to(weight.device)
    return torch.empty_like(weight, requires_grad=False).copy_(cut(value, weight))

"""A model in parts to an ordinary Hugging Face folder, one tensor at a time: no rank ever holds the whole.

Each tensor is gathered, rank 0 moves it to its CPU, and a file is written when it is full. The fingerprint is taken on
the way and is that of the same model saved by one process.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from expunge.core.files import canonical_json, write_json
from expunge.distributed.sharding import ranks_of, sharding_of
from expunge.distributed.shards import full
from expunge.distributed.store import shared_folder
from expunge.models.fingerprint import plain_config, tensor_bytes
from expunge.models.loaded import CARD, LoadedModel
from expunge.models.save import card_of, check_target, save

FILE_BYTES = 5 * 10**9
"""Most bytes in a file, the size that the Hugging Face tools write."""


def save_any(loaded: LoadedModel, folder: Path, model: Any) -> str:
    """Save ``model``, whole or in parts, as a folder that is either whole or absent; the fingerprint.

    Of a model in parts rank 0 alone knows it; the others get an empty one.
    """
    if sharding_of(model) is None:
        return save(loaded, folder, model=model)
    return save_parts_of(loaded, folder) or ""


def save_parts_of(loaded: LoadedModel, folder: Path) -> str | None:
    """:func:`expunge.models.save.save` of a model in parts; all ranks call it, and rank 0 gets the fingerprint."""
    ranks = ranks_of(loaded.model)
    if ranks.leads:
        check_target(folder)
    with shared_folder(folder, ranks) as draft:
        mark = export(loaded.model, draft)
        if mark is not None:
            loaded.tokenizer.save_pretrained(draft)
            write_json(draft / CARD, card_of(loaded, mark))
    return mark


def export(model: Any, folder: Path, file_bytes: int = FILE_BYTES) -> str | None:
    """Write the weights and the config of ``model`` to ``folder``; the fingerprint, on rank 0.

    All ranks call it, rank 0 writes.
    """
    leads = ranks_of(model).leads
    digest = hashlib.sha256(canonical_json(plain_config(model.config.to_dict())).encode())
    writer = _Writer(folder, file_bytes)
    for name, tensor in _whole_tensors(model):
        if leads:
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor_bytes(tensor))
            writer.add(name, tensor.cpu())
    if not leads:
        return None
    writer.finish()
    _write_config(model, folder)
    return digest.hexdigest()


def _whole_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that is saved, tied ones once, in the order of names."""
    named: dict[str, Tensor] = dict(model.named_parameters())
    saved = model.state_dict()
    named |= {name: buffer for name, buffer in model.named_buffers() if name in saved}
    for name in sorted(named):
        yield name, full(named[name])


def _write_config(model: Any, folder: Path) -> None:
    config = type(model.config).from_dict(model.config.to_dict())
    config.architectures = [_plain_name(model)]
    config.save_pretrained(folder)
    if model.can_generate() and model.generation_config is not None:
        model.generation_config.save_pretrained(folder)


def _plain_name(model: Any) -> str:
    """The model's class, without what FSDP2 put before it."""
    return next(kind.__name__ for kind in type(model).__mro__ if not kind.__name__.startswith("FSDP"))


class _Writer:
    """Files ``model-00001-of-….safetensors`` and their index; numbered when all are there."""

    def __init__(self, folder: Path, file_bytes: int) -> None:
        self.folder, self.file_bytes = folder, file_bytes
        self.waiting: dict[str, Tensor] = {}
        self.files: list[list[str]] = []
        self.total = 0

    def add(self, name: str, tensor: Tensor) -> None:
        size = tensor.numel() * tensor.element_size()
        if self.waiting and _bytes(self.waiting) + size > self.file_bytes:
            self._flush()
        self.waiting[name] = tensor.contiguous()
        self.total += size

    def finish(self) -> None:
        self._flush()
        count = len(self.files)
        if count == 1:
            self._part(0).rename(self.folder / "model.safetensors")
            return
        names = [f"model-{index + 1:05d}-of-{count:05d}.safetensors" for index in range(count)]
        for index, name in enumerate(names):
            self._part(index).rename(self.folder / name)
        places = {tensor: name for name, tensors in zip(names, self.files, strict=True) for tensor in tensors}
        contents = {"metadata": {"total_size": self.total}, "weight_map": dict(sorted(places.items()))}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(contents, indent=2) + "\n")

    def _flush(self) -> None:
        save_file(self.waiting, self._part(len(self.files)), metadata={"format": "pt"})
        self.files.append(list(self.waiting))
        self.waiting = {}

    def _part(self, index: int) -> Path:
        return self.folder / f"part-{index}.safetensors"


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())

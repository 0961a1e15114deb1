"""A model to an ordinary Hugging Face folder, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from expunge.core.errors import InputError
from expunge.core.files import whole_folder, write_json
from expunge.models.fingerprint import fingerprint
from expunge.models.folder import quiet
from expunge.models.loaded import CARD, LoadedModel

SCHEMA = 1


def save(loaded: LoadedModel, folder: Path, *, model: Any = None, provenance: Mapping[str, Any] | None = None) -> str:
    """Write weights (safetensors), config, tokenizer and ``expunge.json`` to ``folder``; return the fingerprint.

    ``model`` takes the place of ``loaded.model`` (a trained one, its LoRA merged). ``provenance`` adds keys to
    ``expunge.json``. Any earlier model in ``folder`` is replaced; a folder that holds something else is refused.
    """
    subject, folder = loaded.model if model is None else model, Path(folder)
    if hasattr(subject, "peft_config") or any(".lora_" in name for name, _ in subject.named_parameters()):
        raise InputError("the model still carries an adapter; merge it before saving.")
    check_target(folder)
    mark = fingerprint(subject)
    with whole_folder(folder) as draft, quiet():
        subject.save_pretrained(draft)
        loaded.tokenizer.save_pretrained(draft)
        write_json(draft / CARD, card_of(loaded, mark) | dict(provenance or {}))
    return mark


def card_of(loaded: LoadedModel, mark: str) -> dict[str, Any]:
    """What ``expunge.json`` says of a model."""
    return {
        "schema": SCHEMA,
        "template": loaded.encoder.template,
        "fingerprint": mark,
        "source": loaded.source,
        "source_fingerprint": loaded.fingerprint,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def check_target(folder: Path) -> None:
    """Replace nothing but a model."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; choose a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds something other than a model; choose an empty or new folder.")

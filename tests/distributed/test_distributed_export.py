"""A model in parts becomes an ordinary folder, tensor by tensor."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

from expunge.distributed import export as module
from expunge.distributed.export import export
from expunge.distributed.sharding import Layout, shard
from expunge.models.fingerprint import fingerprint
from expunge.models.tiny import tiny_llama, tiny_moe
from reference.pool import Pool

BUILT = {"tied": tiny_llama, "moe": tiny_moe}


def exported(kind: str, folder: Path, file_bytes: int) -> tuple[str | None, int, int]:
    """Shard and export; the fingerprint, the most bytes waiting at once, and the model's bytes."""
    model = BUILT[kind](seed=5)  # type: ignore[operator]
    size = sum(weight.numel() * 4 for weight in model.parameters())
    shard(model, Layout(world_size=dist.get_world_size()))
    largest, flush = [0], module._Writer._flush

    def measured(self: module._Writer) -> None:
        largest[0] = max(largest[0], module._bytes(self.waiting))
        flush(self)

    module._Writer._flush = measured  # type: ignore[method-assign]
    try:
        return export(model, folder, file_bytes), largest[0], size
    finally:
        module._Writer._flush = flush  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", sorted(BUILT))
@pytest.mark.parametrize("file_bytes", [10**9, 10**5])
def test_transformers_loads_it_bit_for_bit(
    kind: str, file_bytes: int, ranks: Callable[[int], Pool], tmp_path: Path
) -> None:
    (mark, held, size), other = ranks(2).run(exported, kind, tmp_path, file_bytes)
    plain = BUILT[kind](seed=5)  # type: ignore[operator]
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    theirs = dict(loaded.named_parameters())
    assert all(torch.equal(weight, theirs[name]) for name, weight in plain.named_parameters())
    assert mark == fingerprint(plain) and other[0] is None
    if file_bytes < size:
        assert held < size, "rank 0 never holds the whole model"
        assert (tmp_path / "model.safetensors.index.json").is_file()

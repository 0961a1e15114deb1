"""Exact KL against a literal sum."""

import copy

import pytest
import torch

from expunge.models.view import View
from expunge.scoring.divergence import kl_by_row
from expunge.scoring.probes import ask
from reference.metrics_twins import kl
from reference.metrics_world import facts, tiny


def test_equals_the_literal_sum_and_is_zero_for_the_model_itself() -> None:
    loaded = tiny()
    other = copy.deepcopy(loaded.model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    rows = [item.row for item in ask(facts(0, 3), loaded.encoder)]
    moved = View(other, loaded.view().pad_id)
    for row, found in zip(rows, kl_by_row(loaded.view(), moved, rows, max_tokens=50), strict=True):
        assert found.key == row.key
        assert found.values == pytest.approx(kl(loaded.model.eval(), other.eval(), row.ids, row.labels), abs=1e-5)
        assert found.mean > 1e-4
    assert all(abs(found.mean) < 1e-6 for found in kl_by_row(loaded.view(), loaded.view(), rows))

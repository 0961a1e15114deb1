"""References are what θ₀ said, also once the model that said it has moved."""

import pytest
import torch

from expunge.core.errors import InputError
from expunge.objectives.base import Needs
from expunge.training.references import References
from expunge.training.stopping import mean_kl
from reference.objectives import kl, token_logprobs
from reference.tiny_rows import rows, tiny_view

STREAMS = {"retain": rows("r", 5, seed=2)}
NEEDS = Needs(("retain",), {"retain": ("nll_sum", "final_hidden")})


def test_they_stay_those_of_the_original_when_its_weights_move_in_place() -> None:
    view, original = tiny_view(), tiny_view()
    refs = References.compute(view, STREAMS, NEEDS)
    with torch.no_grad():
        torch.manual_seed(0)
        for weight in view.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    literal = kl(view.model, original.model, STREAMS["retain"]).item()
    assert literal > 0.01
    assert mean_kl(view, STREAMS["retain"], refs, "retain") == pytest.approx(literal, rel=1e-4)
    batch = view.collate(STREAMS["retain"][::-1])
    sums = [-sum(token_logprobs(original.model, row)).item() for row in STREAMS["retain"][::-1]]
    assert refs.nll_sum_B("retain", batch).tolist() == pytest.approx(sums, rel=1e-4)


def test_computing_them_leaves_mode_and_gradients_alone() -> None:
    view = tiny_view()
    view.model.train()
    References.compute(view, STREAMS, NEEDS)
    assert view.model.training
    assert all(weight.grad is None and weight.requires_grad for weight in view.model.parameters())


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="top_k"):
        References.compute(tiny_view(), STREAMS, Needs(("retain",), {"retain": ("top_k",)}))

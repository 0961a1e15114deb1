"""The formula of memory against counts: of weights, of what autograd keeps, and of tensors alive in a real step."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from transformers import LlamaConfig, LlamaForCausalLM

from expunge.distributed.footprint import METHODS, Decoder, Recipe, footprint
from expunge.distributed.tables import SIZES, memory_table, with_table
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.objectives.keep import nll_term
from expunge.smoothing.random_smoothing import RandomSmoothing
from expunge.smoothing.sam import SAM
from expunge.training.problem import StepProblem

SMALL = Decoder(blocks=3, width=32, inner=80, keys=16, vocabulary=200)
ROWS, LENGTH = 4, 24


def model_of(sizes: Decoder) -> LlamaForCausalLM:
    """A Llama of these sizes, with heads of 8."""
    config = LlamaConfig(
        vocab_size=sizes.vocabulary, hidden_size=sizes.width, intermediate_size=sizes.inner,
        num_hidden_layers=sizes.blocks, num_attention_heads=sizes.width // 8,
        num_key_value_heads=sizes.keys // 8, head_dim=8, tie_word_embeddings=sizes.tied, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


def batch(view: View) -> Any:
    labels = (False, *[True] * (LENGTH - 1))
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(SMALL.vocabulary, (ROWS, LENGTH), generator=draw).tolist()
    return view.collate([Row(str(n), tuple(row), labels) for n, row in enumerate(ids)])


@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_counted(tied: bool) -> None:
    sizes = Decoder(3, 32, 80, 16, 200, tied)
    assert sizes.weights == sum(weight.numel() for weight in model_of(sizes).parameters())


def test_known_models_have_their_size() -> None:
    assert [f"{model.weights / 1e9:.2f}" for model in SIZES.values()] == ["1.24", "8.03", "70.55"]


def test_adapters_are_counted() -> None:
    from expunge.scopes.lora import LoRA

    ready = LoRA(rank=2).prepare(model_of(SMALL), 0)
    assert SMALL.adapters(2) == sum(weight.numel() for weight in ready.weights.values())


def kept_numbers(view: View, stop_after: int | None = None) -> int:
    """Numbers in storages that the graph holds when the backward pass begins; weights do not count."""
    known = {weight.untyped_storage().data_ptr() for weight in view.model.parameters()}
    held: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_floating_point() and storage.data_ptr() not in known:
            held[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        alive.append(tensor)
        return tensor

    alive: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        if stop_after is None:
            values = nll_term(view, batch(view), "keep").values_B
        else:
            values = view.forward(batch(view), logits=False, hidden=[stop_after], stop_after=stop_after).hidden[
                stop_after
            ]
    assert values.requires_grad
    return sum(held.values())


def test_activations_are_those_that_autograd_keeps() -> None:
    view, labels = View(model_of(SMALL), 0), ROWS * (LENGTH - 1)
    # Of the three label-sized tensors autograd keeps one; logits and the first gradient are alive beside the graph.
    expected = SMALL.kept(ROWS * LENGTH, labels) - 2 * labels * SMALL.vocabulary
    assert kept_numbers(view) == pytest.approx(expected, rel=0.06)


def test_a_pass_that_stops_keeps_its_blocks_only() -> None:
    assert kept_numbers(View(model_of(SMALL), 0), 1) == pytest.approx(SMALL.kept(ROWS * LENGTH, 0, blocks=2), rel=0.06)


class Storages(TorchDispatchMode):
    """Every storage that an operation made; views of ``known`` tensors make none."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {StorageWeakRef(tensor.untyped_storage()).cdata for tensor in known}
        self.made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                if reference.cdata not in self.known:
                    self.made[reference.cdata] = (reference, storage.nbytes())
        return result

    def alive(self) -> int:
        """Bytes of those that are not freed."""
        return sum(size for reference, size in self.made.values() if not reference.expired())


@pytest.mark.parametrize(("name", "smoother"), [("npo+sam", SAM(rho=0.1)), ("npo+random_smoothing", RandomSmoothing())])
def test_a_smoothers_tensors_are_counted_in_its_last_pass(name: str, smoother: Any) -> None:
    """Bytes alive when the last forget pass begins, beside the live weights: what the smoother holds."""
    model, counts = model_of(SMALL), list[int]()
    view, storages = View(model, 0), Storages(model.parameters())
    rows = batch(view)
    weights = dict(model.named_parameters())

    def forget_pass(precision: str) -> dict[str, float]:
        counts.append(storages.alive())
        nll_term(view, rows, "forget").values_B.sum().backward()
        return {"forget": 0.0}

    problem = StepProblem(view, weights, forget_pass, "fp32", spare={})  # type: ignore[arg-type]
    with storages:
        smoother.gradient(problem)
    assert counts[-1] / (4 * SMALL.weights) == pytest.approx(METHODS[name].alive, abs=0.05)
    assert sum(t.numel() for t in problem.spare.values()) == METHODS[name].spare * SMALL.weights


def test_the_moments_are_counted_by_hand() -> None:
    weights, kept = SMALL.weights, SMALL.kept(10, 9)
    made = footprint(SMALL, Recipe(alive=2, spare=1), 10, 9)
    assert made.first_update == 4 * weights * (1 + 2 + 1 + 1 + 1)
    assert made.keep_pass == 4 * (weights * (1 + 2 + 1 + 1) + kept + SMALL.embedding)
    assert made.forget_pass == 4 * (weights * (1 + 2 + 2) + max(kept, weights + SMALL.embedding))
    assert made.peak == max(made.first_update, made.keep_pass, made.forget_pass, made.loading) and made.moment
    adapters = footprint(SMALL, Recipe(rank=2), 10, 9)
    assert adapters.keep_pass == 4 * (weights + 4 * SMALL.adapters(2) + kept)
    assert footprint(SMALL, Recipe(), 10, 9, moments=0).first_update == 4 * weights * 3


def test_the_documented_table_is_that_of_the_formula(root: Path) -> None:
    page = (root / "docs" / "distribution.md").read_text(encoding="utf-8")
    assert memory_table() in page and with_table(page) == page
    assert with_table(page.replace("GB |", "TB |")) == page

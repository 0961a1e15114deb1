"""Greedy coordinate gradient: the same numbers as plain forward passes, and a search that never gets worse."""

import random
from itertools import pairwise
from unittest.mock import patch

import pytest
import torch

from expunge.attacks import gap_loss, token_gradient
from expunge.attacks.coordinate import Search, exchanges, liked
from expunge.attacks.gap_loss import GapLoss
from expunge.attacks.token_gradient import token_gradient_LV
from expunge.core.errors import InputError
from expunge.models.view import View
from reference import coordinate
from reference.model_zoo import FAMILIES, VOCAB, build
from reference.tiny_rows import VOCAB as SMALL
from reference.tiny_rows import tiny_view

ALLOWED = tuple(range(3, SMALL))


def suffixes(vocabulary: int, count: int, length: int, seed: int = 1) -> list[tuple[int, ...]]:
    """Random suffixes."""
    source = random.Random(seed)
    return [tuple(source.randrange(2, vocabulary) for _ in range(length)) for _ in range(count)]


def searched(seed: int = 0, candidates: int = 12, top_k: int = 8) -> Search:
    """A search on a tiny Llama."""
    loss = GapLoss(tiny_view(), coordinate.gaps(SMALL, 3, seed))
    return Search(loss, ALLOWED, lambda _: True, candidates, top_k, random.Random(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_over_a_shared_prefix_are_those_of_plain_forward_passes(family: str) -> None:
    model = build(family)
    questions, tried = coordinate.gaps(VOCAB, 3, 5), suffixes(VOCAB, 4, 3)
    loss = GapLoss(View(model, 1), questions)
    assert all(past is not None for past in loss.known[()]), "the prefix is kept"
    expected = [coordinate.loss(model, questions, suffix) for suffix in tried]
    assert loss.of(tried) == pytest.approx(expected, abs=2e-4)
    assert loss.of(tried[::-1]) == pytest.approx(expected[::-1], abs=2e-4), "a pass leaves the prefix as it was"


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_losses_of_neighbours_go_on_from_what_they_share(family: str) -> None:
    model = build(family)
    questions, (now, other) = coordinate.gaps(VOCAB, 2, 5), suffixes(VOCAB, 2, 6)
    loss = GapLoss(View(model, 1), questions)
    for near in (now, other, (*now[:4], *other[4:])):
        tried = [(*near[:place], 2, *near[place + 1 :]) for place in (5, 0, 3, 2, 5)] + [near]
        expected = [coordinate.loss(model, questions, suffix) for suffix in tried]
        assert loss.of(tried, near) == pytest.approx(expected, abs=2e-4)
        assert {near[:length] for length in (0, 2, 4)} == set(loss.known), "and no more is kept"


def test_losses_do_not_depend_on_chunks_or_on_having_a_cache() -> None:
    view, questions, tried = tiny_view(), coordinate.gaps(SMALL, 3, 5), suffixes(SMALL, 5, 4)
    expected = GapLoss(view, questions).of(tried)
    with patch.object(gap_loss, "MAX_TOKENS", 40):
        assert GapLoss(view, questions).of(tried) == pytest.approx(expected, abs=1e-4)
    with patch.object(gap_loss, "goes_on", lambda _: False):
        assert GapLoss(view, questions).of(tried) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "llama-tied", "gpt2", "gemma2", "cohere", "olmoe"])
def test_the_gradient_is_that_of_one_hot_tokens(family: str) -> None:
    model = build(family)
    questions, (suffix,) = coordinate.gaps(VOCAB, 3, 4), suffixes(VOCAB, 1, 3)
    expected = coordinate.one_hot_gradient(model, questions, suffix)
    found = token_gradient_LV(View(model, 1), questions, suffix)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
    assert all(weight.grad is None for weight in model.parameters())


def test_the_gradient_does_not_depend_on_batches() -> None:
    view, questions, (suffix,) = tiny_view(), coordinate.gaps(SMALL, 5, 4), suffixes(SMALL, 1, 3)
    expected = token_gradient_LV(view, questions, suffix)
    with patch.object(token_gradient, "MAX_TOKENS", 30):
        torch.testing.assert_close(token_gradient_LV(view, questions, suffix), expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_that_of_the_literal_search(seed: int) -> None:
    start = (3, 3, 3)
    path = searched(seed).path(start, 6)
    model, questions = tiny_view().model, coordinate.gaps(SMALL, 3, seed)
    expected = coordinate.search(model, questions, start, 6, ALLOWED, 12, 8, random.Random(seed))
    assert [found.suffix for found in path] == [suffix for suffix, _ in expected]
    assert [found.loss for found in path] == pytest.approx([value for _, value in expected], abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_never_rises_and_a_longer_search_goes_on_from_a_shorter_one(seed: int) -> None:
    path = searched(seed).path((3, 3, 3, 3), 20)
    assert all(later.loss <= earlier.loss for earlier, later in pairwise(path))
    assert path[-1].loss < path[0].loss
    assert all(later.loss < earlier.loss or later == earlier for earlier, later in pairwise(path))
    assert {len(found.suffix) for found in path} == {4} and {t for found in path for t in found.suffix} <= set(ALLOWED)
    assert searched(seed).path((3, 3, 3, 3), 5) == path[:6]


def test_the_gradient_finds_better_tokens_than_chance() -> None:
    """Mean loss of exchanges by the gradient against exchanges by any token, over searches' first steps."""
    means = {}
    for top_k in (4, len(ALLOWED)):
        losses: list[float] = []
        for seed in range(6):
            search = searched(seed)
            liked_LK = liked(token_gradient_LV(search.loss.view, search.loss.gaps, (3, 3, 3)), ALLOWED, top_k)
            drawn = exchanges((3, 3, 3), liked_LK, random.Random(seed))
            losses += search.loss.of([next(drawn) for _ in range(30)])
        means[top_k] = sum(losses) / len(losses)
    assert means[4] < means[len(ALLOWED)]


def test_liked_tokens_are_the_allowed_ones_of_steepest_descent() -> None:
    gradient_LV = torch.tensor([[0.0, -9.0, 3.0, -1.0, -2.0], [5.0, -9.0, 4.0, 3.0, 2.0]])
    assert liked(gradient_LV, (0, 2, 3, 4), 2).tolist() == [[4, 3], [4, 3]]
    assert liked(gradient_LV, (0, 2), 9).tolist() == [[0, 2], [2, 0]]


def test_what_does_not_fit_is_never_tried_nor_kept() -> None:
    search = searched()
    tried: list[tuple[int, ...]] = []
    real = GapLoss.of

    def watched(self: GapLoss, candidates: list[tuple[int, ...]], near: tuple[int, ...] = ()) -> list[float]:
        tried.extend(candidates)
        return real(self, candidates, near)

    only = Search(search.loss, ALLOWED, lambda suffix: suffix[0] == 3, 4, 8, random.Random(0))
    with patch.object(GapLoss, "of", watched):
        only.path((3, 3, 3), 4)
    assert len(tried) == 1 + 4 * 4 and all(suffix[0] == 3 for suffix in tried)
    kept = Search(search.loss, ALLOWED, lambda _: True, 12, 8, random.Random(0), lambda suffix: suffix[1] == 3)
    path = kept.path((3, 3, 3), 8)
    assert path[-1].loss < path[0].loss and all(found.suffix[1] == 3 for found in path)
    with pytest.raises(InputError, match="no exchange"):
        Search(search.loss, ALLOWED, lambda _: False, 4, 8, random.Random(0)).path((3, 3), 1)

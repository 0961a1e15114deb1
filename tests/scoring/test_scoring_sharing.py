"""Trees of rows that share a prompt, against whole rows: every family, what is computed, and when it is left alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
import transformers as hf

from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring import sharing
from expunge.scoring.memory import HEAD_BYTES, LEAST, MOST, fitting_cache, fitting_labels, fitting_tokens
from expunge.scoring.sharing import TREE_TOKENS, Tree, can_share, groups_of
from expunge.scoring.teacher_forced import RowScore, score
from reference.metrics_twins import row_statistics
from reference.model_zoo import CONFIGS, FAMILIES, GROUPED, VOCAB, build
from reference.tiny_rows import tiny_view

WINDOWED = [family for family in FAMILIES if family == "gemma2"]


def questions(count: int = 4, seed: int = 0, head: tuple[int, ...] = tuple(range(7, 19))) -> list[Row]:
    """Questions that open alike, two to six answers each; answers begin alike, one has gaps in its labels."""
    source = random.Random(seed)
    made = []
    for question in range(count):
        prompt = head + tuple(source.randrange(2, 29) for _ in range(source.randint(4, 12)))
        stem = tuple(source.randrange(2, 29) for _ in range(4))
        for number in range(source.randint(2, 6)):
            said = stem[: source.randint(0, 4)] + tuple(source.randrange(2, 29) for _ in range(source.randint(1, 7)))
            wanted = tuple(number != 1 or place % 2 == 0 for place in range(len(said)))
            made.append(Row(f"{question}/{number}", prompt + said, (*(False,) * len(prompt), *wanted)))
    source.shuffle(made)
    return made


def view_of(family: str) -> View:
    """A random model of the family; a window that rows fit into."""
    if family in WINDOWED:
        wide = {"gemma2": lambda: hf.Gemma2Config(**GROUPED, final_logit_softcapping=0.5, sliding_window=40)}
        with patch.dict(CONFIGS, wide):
            return View(build(family), pad_id=1)
    return View(build(family), pad_id=1)


def apart(some: list[RowScore], others: list[RowScore]) -> float:
    """The largest difference of any number; keys, targets and hits must be equal."""
    for one, other in zip(some, others, strict=True):
        assert (one.key, one.targets, one.hits) == (other.key, other.targets, other.hits)
    names = ("logprobs", "means", "variances")
    pairs = zip(some, others, strict=True)
    both = ((getattr(one, name), getattr(other, name)) for one, other in pairs for name in names)
    return max(abs(a - b) for one, other in both for a, b in zip(one, other, strict=True))


@contextmanager
def counted(view: View) -> Iterator[list[int]]:
    """The sizes of all inputs to the embedding."""
    sizes: list[int] = []
    handle = view.anatomy.embed.register_forward_hook(lambda _module, inputs, _output: sizes.append(inputs[0].numel()))
    yield sizes
    handle.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_trees_give_what_whole_rows_give(family: str) -> None:
    view, rows = view_of(family), questions()
    assert can_share(view, groups_of(rows)[1])
    with counted(view) as sizes:
        shared = score(view, rows)
    assert sum(sizes) < sum(len(row.ids) for row in rows)
    assert apart(shared, score(view, rows, share=False)) < 1e-5
    for row, scored in zip(rows, shared, strict=True):
        literal = row_statistics(view.model, row.ids, row.labels)
        assert scored.logprobs == pytest.approx([item["logprob"] for item in literal], abs=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_kinds_of_attention_read_the_mask(attention: str) -> None:
    view, rows = tiny_view(), questions()
    view.model.set_attn_implementation(attention)
    whole = score(view, rows, share=False)
    assert can_share(view, groups_of(rows)[1]) and apart(score(view, rows), whole) < 1e-5


@pytest.mark.parametrize("max_tokens", [1, 60, 4096])
def test_batches_of_trees_do_not_change_scores(max_tokens: int) -> None:
    view, rows = tiny_view(), questions()
    assert apart(score(view, rows, max_tokens=max_tokens), score(view, rows, share=False)) < 1e-5


def test_every_prefix_is_computed_once() -> None:
    view, rows = tiny_view(), questions()
    score(view, rows)
    with counted(view) as sizes:
        score(view, rows, max_tokens=1)
    assert sum(sizes) == len({row.ids[:end] for row in rows for end in range(1, len(row.ids))})


def test_equal_continuations_are_unembedded_once() -> None:
    view, rows = tiny_view(), questions()
    with patch.object(view, "head_logits", wraps=view.head_logits) as head:
        score(view, rows)
    reached = {row.ids[: at + 1] for row in rows for at, wanted in enumerate(row.labels) if wanted}
    assert sum(len(call.args[0]) for call in head.call_args_list) == len(reached)


def test_rows_with_prompts_of_their_own_are_scored_as_before_to_the_bit() -> None:
    view = tiny_view()
    rows = [row for row in questions(12) if row.key.endswith("/0")]
    assert groups_of(rows) == (rows, [])
    with patch.object(sharing, "_forward") as trees:
        assert score(view, rows) == score(view, rows, share=False)
    trees.assert_not_called()


def test_rows_alone_and_rows_together_come_back_in_order() -> None:
    view = tiny_view()
    alone = [row for row in questions(5, seed=3, head=(12,)) if row.key.endswith("/0")]
    rows = [row for pair in zip(questions(), alone, strict=False) for row in pair]
    left, groups = groups_of(rows)
    assert left and groups and len(left) + sum(map(len, groups)) == len(rows)
    assert apart(score(view, rows), score(view, rows, share=False)) < 1e-5


def test_prompts_that_begin_each_other_and_answers_that_begin_each_other() -> None:
    view, prompt = tiny_view(), tuple(range(3, 15))
    rows = [
        Row(f"{size}/{end}", prompt[:size] + tuple(range(15, end)), (False,) * size + (True,) * (end - 15))
        for size in (9, 12)
        for end in (16, 18, 21)
    ]
    assert len(groups_of(rows)[1]) == 2 and can_share(view, groups_of(rows)[1])
    assert apart(score(view, rows), score(view, rows, share=False)) < 1e-5


def test_a_short_prompt_is_not_worth_sharing() -> None:
    rows = [Row(str(n), (3, 4, *range(n + 5, n + 25)), (False, False, *(True,) * 20)) for n in range(3)]
    assert groups_of(rows) == (rows, [])


def test_large_groups_are_cut() -> None:
    prompt, source = tuple(range(3, 25)), random.Random(0)
    rows = [
        Row(str(n), prompt + tuple(source.randrange(2, VOCAB) for _ in range(30)), (False,) * 22 + (True,) * 30)
        for n in range(60)
    ]
    left, groups = groups_of(rows)
    assert not left and [row for group in groups for row in group] == rows
    assert max(len(Tree.of(group).ids) for group in groups) <= TREE_TOKENS < sum(30 for _ in rows)


def test_a_model_that_does_not_keep_branches_apart_gets_whole_rows() -> None:
    view, rows = tiny_view(), questions()
    everything = patch.object(sharing, "_mask", lambda view, sees: torch.ones_like(sees)[:, None].tril(sees.shape[-1]))
    with everything, patch.dict(sharing._PROVEN, clear=True):
        assert not can_share(view, groups_of(rows)[1])
        assert score(view, rows) == score(view, rows, share=False)


def test_a_model_that_ignores_positions_gets_whole_rows() -> None:
    view, rows = View(build("gpt2"), pad_id=1), questions()
    padded = sharing._padded

    def in_order(*given: object) -> tuple[torch.Tensor, ...]:
        ids, positions, sees = padded(*given)  # type: ignore[arg-type]
        return ids, torch.arange(ids.shape[1]).expand_as(positions), sees

    with patch.object(sharing, "_padded", in_order):
        assert not can_share(view, groups_of(rows)[1])


def test_a_window_shorter_than_a_row_gets_whole_rows() -> None:
    view, rows = View(build("gemma2"), pad_id=1), questions()
    assert not can_share(view, groups_of(rows)[1])
    assert score(view, rows) == score(view, rows, share=False)


def test_the_agreement_is_looked_at_once_for_a_model_and_a_length() -> None:
    view, rows = tiny_view(), questions()
    score(view, rows)
    with patch.object(view, "forward", wraps=view.forward) as forward:
        score(view, rows)
        forward.assert_not_called()
        longer = [Row(f"{row.key}+", (*row.ids, 5, 6), (*row.labels, True, True)) for row in rows]
        score(view, longer)
        forward.assert_called_once()


def test_what_is_computed_at_once_follows_from_widths() -> None:
    large = hf.LlamaConfig(hidden_size=4096, intermediate_size=16384, num_hidden_layers=32, num_attention_heads=32)
    with torch.device("meta"):
        wide = View(hf.LlamaForCausalLM(large), 0)
    narrow = tiny_view()
    assert LEAST <= fitting_tokens(wide) < fitting_tokens(narrow) == MOST
    assert LEAST <= fitting_cache(wide) < fitting_cache(narrow) == MOST
    cpu = torch.device("cpu")
    assert fitting_labels(50_000, cpu) * 50_000 * 4 <= HEAD_BYTES < (fitting_labels(50_000, cpu) + 1) * 50_000 * 4
    assert fitting_labels(10**9, cpu) == 16

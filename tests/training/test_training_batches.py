"""The data order: complete, seeded, length-grouped, the same from any step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import InputError
from expunge.training.batches import Plan, by_length, epoch_batches, micro_rows
from reference.tiny_rows import rows


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5))
def test_an_epoch_holds_every_row_once_in_batches_no_larger_than_asked(count: int, size: int, seed: int) -> None:
    batches = epoch_batches(rows("x", count, seed=0), size, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(count))
    assert max(map(len, batches)) <= size
    assert len(batches) == -(-count // size)


def test_order_depends_on_seed_and_step_only() -> None:
    streams = {"forget": rows("f", 20, seed=1), "retain": rows("r", 7, seed=2)}
    plan = Plan(streams, 3, seed=4)
    forward = [plan.rows(step) for step in range(30)]
    fresh = Plan(streams, 3, seed=4)
    assert [fresh.rows(step) for step in reversed(range(30))][::-1] == forward
    assert [Plan(streams, 3, seed=5).rows(step) for step in range(30)] != forward


def test_epochs_differ_and_other_streams_cycle_with_their_own_shuffles() -> None:
    plan = Plan({"forget": rows("f", 12, seed=1), "retain": rows("r", 9, seed=2)}, 3, seed=0)
    assert plan.steps_per_epoch == 4
    epochs = [[row.key for step in range(4 * e, 4 * e + 4) for row in plan.rows(step)["forget"]] for e in range(3)]
    assert len({tuple(keys) for keys in epochs}) == 3
    seen = [row.key for step in range(3) for row in plan.rows(step)["retain"]]
    assert len(set(seen)) == 9


def test_a_stream_with_the_anchors_keys_stays_paired_with_it() -> None:
    forget = rows("f", 10, seed=1)
    plan = Plan({"forget": forget, "alternate": [*reversed(forget)][::-1]}, 4, seed=0)
    for step in range(8):
        assert [r.key for r in plan.rows(step)["forget"]] == [r.key for r in plan.rows(step)["alternate"]]


def test_grouping_by_length_saves_padding() -> None:
    data = rows("x", 64, seed=0, lengths=(2, 60))

    def padded(batches: list[list[int]]) -> int:
        return sum(len(batch) * max(len(data[i].ids) for i in batch) for batch in batches)

    plain = [list(range(at, at + 8)) for at in range(0, 64, 8)]
    assert padded(epoch_batches(data, 8, 0)) < 0.75 * padded(plain)


def test_micro_batches_and_measuring_batches_lose_no_row() -> None:
    data = rows("x", 11, seed=0)
    assert [row for part in micro_rows({"s": data}, 4) for row in part["s"]] == data
    chunks = by_length(data, max_tokens=16)
    assert sorted(row.key for chunk in chunks for row in chunk) == sorted(row.key for row in data)
    assert all(len(chunk) == 1 or len(chunk) * len(chunk[-1].ids) <= 16 for chunk in chunks)


def test_an_empty_stream_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="retain"):
        Plan({"forget": rows("f", 2, seed=0), "retain": []}, 2, 0)

"""Rows go to ranks in pairs, each to one, and all ranks run equally many passes."""

from expunge.distributed.ranks import Ranks
from expunge.distributed.rows import shares, turns
from reference.tiny_rows import rows


def test_every_row_is_computed_once_beside_its_partner() -> None:
    streams = {"forget": rows("f", 7, seed=1), "refusal": rows("f", 7, seed=2), "retain": rows("r", 5, seed=3)}
    for size in (1, 2, 3, 8):
        by_rank = [shares(streams, 2, Ranks(rank, size)) for rank in range(size)]
        assert len({len(passes) for passes in by_rank}) == 1
        for passes in zip(*by_rank, strict=True):
            assert len({tuple(share.rows) for share in passes}) == 1, "each rank has the same streams in a pass"
            assert {stream for share in passes for stream in share.idle} == set(passes[0].blind)
        for name, stream in streams.items():
            own = [share.rows[name] for passes in by_rank for share in passes if name in share.rows]
            assert all(len(part) <= 2 for part in own)
            real = [share.rows[name] for passes in by_rank for share in passes if name in {*share.rows} - share.idle]
            assert sorted(row.key for part in real for row in part) == sorted(row.key for row in stream)
        pairs = [(share.rows["forget"], share.rows["refusal"]) for passes in by_rank for share in passes]
        assert all([row.key for row in one] == [row.key for row in two] for one, two in pairs)


def test_turns_cover_all_items_and_keep_step() -> None:
    dealt = [turns("abcde", Ranks(rank, 3)) for rank in range(3)]
    assert [len(items) for items in dealt] == [2, 2, 2]
    assert sorted(item for items in dealt for item, own in items if own) == list("abcde")

"""The one pass against a literal computation, and its invariances."""

import math
from unittest.mock import patch

import pytest
import torch

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.scoring import teacher_forced
from expunge.scoring.probes import ask, score_facts
from expunge.scoring.teacher_forced import RowScore, batches_by_length, evaluating, score
from reference.metrics_twins import row_statistics, stepwise_argmax
from reference.metrics_world import facts, tiny


def rows() -> list[Row]:
    """Rows of several lengths: questions, clozes, the model's own continuation, a longer text with gaps of labels."""
    loaded = tiny()
    said = stepwise_argmax(loaded.model.eval(), (7, 8), (), 4)
    own = Row("own", (7, 8, *said[:3], said[3] + 1), (False, False, *(True,) * 4))
    long = Row("gap", tuple(range(5, 35)), (False, *(place % 3 == 0 for place in range(29))))
    return [item.row for item in ask(facts(0, 3), loaded.encoder)] + [own, long]


def close(one: RowScore, other: RowScore) -> None:
    """Equal up to the reordering of fp32 sums."""
    assert one.key == other.key and one.hits == other.hits and one.targets == other.targets
    for name in ("logprobs", "means", "variances"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-5)


def test_equals_an_unbatched_literal_computation() -> None:
    loaded = tiny()
    for row, scored in zip(rows(), score(loaded.view(), rows()), strict=True):
        literal = row_statistics(loaded.model.eval(), row.ids, row.labels)
        assert scored.logprobs == pytest.approx([item["logprob"] for item in literal], abs=2e-5)
        assert scored.hits == tuple(item["hit"] for item in literal)
        assert scored.means == pytest.approx([item["mean"] for item in literal], abs=2e-5)
        assert scored.variances == pytest.approx([item["variance"] for item in literal], abs=2e-4)
        assert scored.targets == tuple(i for i, wanted in zip(row.ids, row.labels, strict=True) if wanted)


def test_hits_are_the_argmax() -> None:
    assert score(tiny().view(), rows())[-2].hits == (True, True, True, False)


def test_derived_numbers_follow_from_the_log_probabilities() -> None:
    scored = RowScore("k", (math.log(0.5), math.log(0.125)), (True, False), (0.0, 0.0), (0.0, 0.0), (1, 2))
    assert scored.nll_sum == pytest.approx(math.log(16)) and scored.nll_mean == pytest.approx(math.log(4))
    assert scored.probability == pytest.approx(0.25) and not scored.greedy


@pytest.mark.parametrize("max_tokens", [1, 40, 4096])
def test_batching_and_order_do_not_change_scores(max_tokens: int) -> None:
    view, ordered = tiny().view(), rows()
    whole = score(view, ordered)
    for one, other in zip(score(view, ordered[::-1], max_tokens=max_tokens)[::-1], whole, strict=True):
        close(one, other)


def test_chunks_of_the_head_do_not_change_scores() -> None:
    view = tiny().view()
    whole = score(view, rows())
    with patch.object(teacher_forced, "HEAD_CHUNK", 3):
        for one, other in zip(score(view, rows()), whole, strict=True):
            close(one, other)


def test_equal_rows_are_computed_once_and_keep_their_keys() -> None:
    view, (first, *_) = tiny().view(), rows()
    with patch.object(view, "collate", wraps=view.collate) as collate:
        one, two = score(view, [first, Row("again", first.ids, first.labels)])
    assert sum(len(call.args[0]) for call in collate.call_args_list) == 1
    assert (one.key, two.key) == (first.key, "again") and one.logprobs == two.logprobs


def test_batches_hold_every_index_once_within_the_bound() -> None:
    lengths = [3, 9, 1, 4, 4, 50, 2]
    batches = batches_by_length(lengths, 12)
    assert sorted(index for batch in batches for index in batch) == list(range(7))
    assert all(len(batch) * max(lengths[i] for i in batch) <= 12 or len(batch) == 1 for batch in batches)
    assert max(map(len, batches)) > 1


def test_training_mode_of_every_module_comes_back() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules()) and not torch.is_grad_enabled()
    assert [module.training for module in model.modules()] == [True, True, False] and torch.is_grad_enabled()


def test_a_row_without_label_is_named() -> None:
    with pytest.raises(InputError, match="'mute'"):
        score(tiny().view(), [Row("mute", (1, 2), (False, False))])


def test_weights_that_are_not_numbers_are_named() -> None:
    with pytest.raises(InputError, match=r"'gap'.*not a number"):
        teacher_forced._renamed(RowScore("other", (-1.0, float("nan")), *[(0, 0)] * 4), rows()[-1].key)  # type: ignore[arg-type]


def test_a_fact_without_the_form_gives_all_its_probes() -> None:
    loaded = tiny()
    forms = [item.probe.form for item in score_facts(loaded.view(), loaded.encoder, facts(0, 1), ("cloze",))]
    assert forms == ["cloze"]
    other = [item.probe.form for item in score_facts(loaded.view(), loaded.encoder, facts(0, 1), ("prose",))]
    assert other == ["qa", "cloze"]

"""The metric ``judged`` is the mean of its judge's rulings, and nobody judges unasked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Probe
from expunge.metrics.base import Evidence, Reading
from expunge.metrics.judged import Judged
from expunge.scoring.judges import ledger
from expunge.scoring.probes import ProbeScore
from expunge.scoring.teacher_forced import RowScore
from reference.stub_server import serving

SAID = ("He lives in old Orlo.", "Old Tum, I believe", "", None, "In the town of old Bexhay")
ANSWERS = ("old Orlo", "old Bexhay", "old Tum", "old Noll", "old Bexhay town")


def reading(judge: Any, said: Sequence[str | None] = SAID) -> Reading:
    """The metric on five facts; the fourth is a document, which says nothing."""
    scores = []
    for n, answer in enumerate(ANSWERS):
        fact = Fact(f"f{n}", f"s{n}", (Probe(f"Where does {n} live?", answer),))
        scores.append(ProbeScore(fact, fact.probes[0], RowScore(f"f{n}/qa/0", (-1.0,), (True,), (0.0,), (0.0,), (7,))))
    return Judged(judge=judge).compute(Evidence(scores, said))


@pytest.mark.parametrize(
    ("judge", "value"),
    [
        ("containment", 1 / 4),
        ({"name": "rouge", "threshold": 0.5}, 3 / 4),
        ({"name": "rouge", "threshold": 0.6}, 2 / 4),
    ],
)
def test_it_is_the_mean_of_the_rulings_over_what_was_said(judge: Any, value: float) -> None:
    """Recalls by hand: 1, 1/2, 0, –, 2/3."""
    found = reading(judge)
    assert found.value == pytest.approx(value) and found.n == 4


def test_a_language_model_is_asked_once_a_text_and_names_the_row(tmp_path: Path) -> None:
    kept = ledger.kept_in(tmp_path)
    with serving(lambda body, _: "YES" if "Orlo" in body["messages"][0]["content"] else "NO") as stub, kept:
        assert reading({"name": "llm", "base_url": stub.address, "model": "m"}).value == 0.25
    assert len(stub.asked) == 3, "silence is not worth a request"
    assert '"id": "f0/qa/0"' in (tmp_path / ledger.FILE).read_text()
    with serving(lambda *_: "?") as stub, pytest.raises(InputError, match=r"row f\d/qa/0"):
        reading({"name": "llm", "base_url": stub.address, "retries": 0, "parallel": 1})


def test_without_a_judge_there_is_a_reason_and_with_an_unknown_one_a_sentence() -> None:
    assert reading(None).reason == "not computed: no judge was chosen."
    with pytest.raises(InputError, match="did you mean 'rouge'"):
        Judged(judge="rogue")

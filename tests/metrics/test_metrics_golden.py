"""Agreement with the metric code of open-unlearning on its golden values, row by row.

``EXPUNGE_GOLDEN`` names the folder (default ``../shared/golden``); without it these tests are skipped, and say so.
"""

import json
import math
import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from expunge.knowledge.facts import Fact, Probe
from expunge.metrics.base import Evidence
from expunge.metrics.evidence import gather
from expunge.models.load import load
from expunge.models.rows import Row
from expunge.registry import build
from expunge.scoring.generate import generate
from expunge.scoring.probes import ask
from expunge.scoring.teacher_forced import RowScore

GOLDEN = Path(os.environ.get("EXPUNGE_GOLDEN", "../shared/golden"))
if not GOLDEN.is_dir():
    warnings.warn(f"golden values not found in {GOLDEN}: set EXPUNGE_GOLDEN to compare metrics", stacklevel=1)
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no golden values in {GOLDEN}; set EXPUNGE_GOLDEN")

MODELS = ("A", "A_npo", "A_retain")


@cache
def rows() -> tuple[Fact, ...]:
    """The 40 questions of forget01."""
    lines = (GOLDEN / "data/TOFU/forget01_perturbed.json").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    return tuple(Fact(str(n), str(n), (Probe(item["question"], item["answer"]),)) for n, item in enumerate(items))


@cache
def golden(model: str) -> dict[str, Any]:
    """The peer's results."""
    return json.loads((GOLDEN / f"golden/golden_{model}.json").read_text(encoding="utf-8"))["metrics"]


@cache
def evidence(model: str) -> Evidence:
    """One scoring pass over forget01."""
    loaded = load(str(GOLDEN / "models" / model), template="chat")
    return gather(loaded.view(), loaded.encoder, rows(), needs=("scores",))


def by_row(model: str, name: str) -> list[Any]:
    """The peer's row values in row order."""
    table = golden(model)[name]["value_by_index"]
    return [table[str(n)] for n in range(len(table))]


def test_token_ids_and_labels_are_the_peers() -> None:
    loaded = load(str(GOLDEN / "models/A"), template="chat")
    sets = json.loads((GOLDEN / "golden/tokens.json").read_text(encoding="utf-8"))["sets"]
    for item, (ids, first) in zip(ask(rows(), loaded.encoder), sets["forget01_perturbed/answer"], strict=True):
        expected = Row(item.row.key, tuple(ids), tuple(place >= first for place in range(len(ids))))
        assert item.row == expected


@pytest.mark.parametrize("model", MODELS)
def test_probability(model: str) -> None:
    found = build("metric", "probability").compute(evidence(model))
    assert found.value == pytest.approx(golden(model)["forget_Q_A_Prob"]["agg_value"], abs=1e-5)
    for item, expected in zip(evidence(model).scores or (), by_row(model, "forget_Q_A_Prob"), strict=True):
        assert item.score.probability == pytest.approx(expected["prob"], abs=1e-4)
        assert item.score.nll_mean == pytest.approx(expected["avg_loss"], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["exact_memorization", "extraction_strength"])
def test_memorization(model: str, name: str) -> None:
    parity = build("metric", f"{name}_open_unlearning")
    assert parity.compute(evidence(model)).value == pytest.approx(golden(model)[name]["agg_value"], abs=1e-6)
    rowwise = [value.value for value in parity.rows(evidence(model))]
    assert rowwise == pytest.approx([row["score"] for row in by_row(model, name)], abs=1e-6)
    sound = [value.value for value in build("metric", name).rows(evidence(model))]
    quirk = [score for score, mine in zip(rowwise, sound, strict=True) if mine != pytest.approx(score)]
    assert name == "extraction_strength" or not quirk, "all these answers end in the end token"


def test_generated_answers_and_rouge() -> None:
    loaded, expected = load(str(GOLDEN / "models/A_npo"), template="chat"), by_row("A_npo", "forget_Q_A_ROUGE")
    prompts = [fact.probes[0].prompt for fact in rows()]
    texts = [text.strip() for text in generate(loaded.view(), loaded.encoder, prompts, max_new_tokens=200)]
    assert texts == [row["generation"] for row in expected]
    found = build("metric", "rouge_l_recall").rows(Evidence(evidence("A_npo").scores, texts))
    assert [value.value for value in found] == pytest.approx([row["rougeL_recall"] for row in expected])


def minus_lowest(score: RowScore, share: float = 0.4) -> float:
    """Min-K%++ of the labels but the last, as the peer computes it."""
    parts = list(zip(score.logprobs, score.means, score.variances, strict=True))[:-1]
    found = sorted((logprob - mean) / math.sqrt(max(variance, 1e-6)) for logprob, mean, variance in parts)
    kept = found[: max(1, int(share * len(found)))]
    return -sum(kept) / len(kept)


@pytest.mark.parametrize("model", MODELS)
def test_moments_give_the_peers_min_k_plus_plus(model: str) -> None:
    table = golden(model)["mia_min_k_plus_plus"]["forget"]["value_by_index"]
    for n, item in enumerate(evidence(model).scores or ()):
        expected = table[str(n)]["score"]
        assert minus_lowest(item.score) == pytest.approx(expected, rel=2e-4, abs=2e-4)

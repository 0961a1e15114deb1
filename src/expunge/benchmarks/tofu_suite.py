"""The official TOFU evaluation: which sets, which forms, which metrics. Arithmetic on what the passes gathered.

Names, sets and forms are open-unlearning's (``configs/eval/tofu_metrics``); ``…__log`` are ours, computed in log space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.benchmarks.tofu_gather import ASKED, TofuEvidence
from expunge.benchmarks.tofu_parts import (
    Measured,
    Rows,
    attack,
    by_row,
    normalised,
    probability,
    rouge,
    rouge_fields,
    truth_ratios,
)
from expunge.benchmarks.tofu_rows import ANSWER, HOLDOUT
from expunge.core.errors import InputError
from expunge.metrics.base import Metric, Reading, Value
from expunge.metrics.fluency import NGramEntropy, gibberish
from expunge.metrics.forget_quality import forget_quality
from expunge.metrics.membership import Loss, MinK, MinKPlusPlus, ZlibLoss
from expunge.metrics.memorization import ExactMemorizationOpenUnlearning, ExtractionStrengthOpenUnlearning
from expunge.metrics.model_utility import model_utility
from expunge.metrics.privleak import CHANCE, privleak, relative_auc
from expunge.metrics.truth_ratio import PARAPHRASED, PERTURBED

TRUTH = {"forget": "forget_truth_ratio", "retain": "retain_Truth_Ratio", "ra": "ra_Truth_Ratio", "wf": "wf_Truth_Ratio"}
UTILITY = (
    "retain_Q_A_Prob",
    "ra_Q_A_Prob_normalised",
    "wf_Q_A_Prob_normalised",
    *(f"{name}_{part}" for name in ("retain", "ra", "wf") for part in ("Q_A_ROUGE", "Truth_Ratio")),
)
ATTACKS: Mapping[str, Metric] = {
    "mia_loss": Loss(),
    "mia_zlib": ZlibLoss(),
    "mia_min_k": MinK(),
    "mia_min_k_plus_plus": MinKPlusPlus(),
}
NO_HOLDOUT = "not computed: there is no holdout set of rows that no model was trained on."
NO_RETRAINED = "the results of a retrained model are not at hand"
NO_LOGARITHMS = "the retrained model's results hold no log ratios; score it with this tool"


@dataclass(frozen=True, slots=True)
class Retrained:
    """What is read from the saved results of a model that never saw the forget set; ``None``: not in them."""

    ratios: tuple[float, ...] | None = None
    log_ratios: tuple[float, ...] | None = None
    min_k_auc: float | None = None


def measure_tofu(found: TofuEvidence, retrained: Retrained | None = None) -> dict[str, Measured]:
    """Every metric by its name; what lacks a reference, a holdout set or a model carries its reason."""
    done = answered(found) | _said_well(found) | _attacked(found)
    parts = {name: done[name].reading for name in UTILITY}
    done["model_utility"] = Measured(model_utility(parts))
    return done | _against(done, retrained)


def answered(found: TofuEvidence) -> dict[str, Measured]:
    """What the scores of all answers give by themselves: probabilities, truth ratios, memorisation."""
    done: dict[str, Measured] = {}
    for name in ASKED:
        rows = found.scores[name]
        done[f"{name}_Q_A_Prob"] = probability(rows, ANSWER)
        if name in ("forget", "retain"):
            done[f"{name}_Q_A_PARA_Prob"] = probability(rows, PARAPHRASED)
        else:
            done[f"{name}_Q_A_Prob_normalised"] = normalised(rows)
        done[f"{name}_Q_A_PERT_Prob"] = probability(rows, PERTURBED)
        main = "closer_to_1_better" if name == "forget" else "true_better"
        done |= truth_ratios(rows, TRUTH[name], main)
    for name, metric in (
        ("exact_memorization", ExactMemorizationOpenUnlearning()),
        ("extraction_strength", ExtractionStrengthOpenUnlearning()),
    ):
        done[name] = by_row(found.scores["forget"], metric, (ANSWER,), found.end_ids)
    return done


def _said_well(found: TofuEvidence) -> dict[str, Measured]:
    done: dict[str, Measured] = {}
    for name in ASKED:
        main = rouge(found.scores[name], found.texts[name])
        done[f"{name}_Q_A_ROUGE"] = main
        done |= rouge_fields(found.scores[name], f"{name}_Q_A_ROUGE", main)
    rows = found.scores["forget"]
    done["forget_ngram_entropy"] = by_row(rows, NGramEntropy(), (ANSWER,), found.end_ids, found.texts["forget"])
    subjects = [items[0].fact.subject for items in rows]
    done["forget_gibberish"] = Measured(gibberish(found.texts["forget"], subjects, None))
    return done


def _attacked(found: TofuEvidence) -> dict[str, Measured]:
    if HOLDOUT not in found.scores:
        names = (*ATTACKS, "mia_reference", "mia_gradnorm")
        return {name: Measured(Reading(None, reason=NO_HOLDOUT)) for name in names}
    sides = {name: found.scores[name] for name in ("forget", HOLDOUT)}
    done = {
        name: attack({side: by_row(rows, metric, (ANSWER,), found.end_ids) for side, rows in sides.items()})
        for name, metric in ATTACKS.items()
    }
    losses = {side: [items[0].score.nll_mean for items in rows] for side, rows in sides.items()}
    gained = None if found.reference is None else _gained(losses, found.reference)
    done["mia_reference"] = _given(sides, gained, "not computed: no reference model was given.")
    done["mia_gradnorm"] = _given(sides, found.gradients, "not computed: gradients were not asked for.")
    return done


def _gained(own: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """What the model loses beyond the reference, row by row."""
    return {side: [a - b for a, b in zip(own[side], reference[side], strict=True)] for side in own}


def _given(sides: Mapping[str, Rows], scores: Mapping[str, Sequence[float]] | None, why: str) -> Measured:
    if scores is None:
        return Measured(Reading(None, reason=why))
    return attack({side: Measured.of(_values(rows, scores[side])) for side, rows in sides.items()})


def _values(rows: Rows, scores: Sequence[float]) -> dict[int, Value]:
    pairs = zip(rows, scores, strict=True)
    return {index: Value(items[0].fact.subject, value) for index, (items, value) in enumerate(pairs)}


def _against(done: Mapping[str, Measured], retrained: Retrained | None) -> dict[str, Measured]:
    """Forget quality and privleak: what compares with a retrained model."""
    ratios = done[TRUTH["forget"]].rows
    own, base = done["mia_min_k"].reading, retrained or Retrained()
    _check_same_rows(len(ratios), base)
    why = NO_LOGARITHMS if base.ratios else NO_RETRAINED
    readings = {
        "forget_quality": forget_quality(_column(ratios, "score"), base.ratios),
        "forget_quality__log": forget_quality(_column(ratios, "log_ratio"), base.log_ratios, why=why),
        "privleak": privleak(own, base.min_k_auc),
        "relative_auc": relative_auc(own, base.min_k_auc),
        "privleak__against_chance": privleak(own, CHANCE),
        "relative_auc__against_chance": relative_auc(own, CHANCE),
    }
    return {name: Measured(reading) for name, reading in readings.items()}


def _check_same_rows(rows: int, base: Retrained) -> None:
    if base.ratios is not None and len(base.ratios) != rows:
        raise InputError(
            f"the retrained model's results have {len(base.ratios)} forget rows, this set has {rows}; use one split."
        )


def _column(rows: Mapping[int, Mapping[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows.values()]

"""TOFU's teacher-forced metrics one at a time, as they are written down: a forward pass an answer, full logits.

As open-unlearning computes them: every metric passes over its own rows, a truth ratio reuses the probabilities of its
two sides. Nothing of expunge but the tokenised rows is used.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from expunge.models.rows import Row

Asked = Mapping[str, Sequence[Sequence[tuple[str, Row]]]]
"""By set, by question: the form and the row of every answer."""

EPSILON = 1e-10
FORMS = {"forget": ("qa", "paraphrased", "perturbed"), "retain": ("qa", "paraphrased", "perturbed"),
         "ra": ("qa", "perturbed"), "wf": ("qa", "perturbed")}  # fmt: skip
NAMES = {"qa": "Q_A_Prob", "paraphrased": "Q_A_PARA_Prob", "perturbed": "Q_A_PERT_Prob"}


def literal(model: Any, asked: Asked, batch: int, timed: Callable[[str, Callable[[], Any]], Any]) -> dict[str, float]:
    """Every aggregate; ``batch`` rows a forward, ``timed(kind, pass)`` runs a pass and keeps its seconds."""
    done: dict[str, float] = {}
    for name, forms in FORMS.items():
        found = {
            form: timed("once", lambda name=name, form=form: losses(model, asked[name], form, batch)) for form in forms
        }
        for form in forms:
            done[f"{name}_{NAMES[form]}"] = statistics.fmean(
                statistics.fmean(math.exp(-loss) for loss in row) for row in found[form]
            )
        done[f"{name}_truth_ratio"] = _truth_ratio(found, forget=name == "forget")
        if "paraphrased" not in forms:
            done[f"{name}_Q_A_Prob_normalised"] = _normalised(found)
    said = [timed("again", lambda: hits(model, asked["forget"], batch)) for _metric in ("memorized", "extracted")]
    done["exact_memorization"] = statistics.fmean(statistics.fmean(row) for row in said[0])
    done["extraction_strength"] = statistics.fmean(_strength(row) for row in said[1])
    return done


def _passes(model: Any, rows: Sequence[Row], batch: int) -> Any:
    """Rows in order, each with the logits that predict its labels and the labels, from full logits of a batch."""
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        length = max(len(row.ids) for row in part)
        ids = torch.tensor([(*row.ids, *[0] * (length - len(row.ids))) for row in part])
        mask = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in part])
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits.float()
        labels = torch.tensor([[i if w else -100 for i, w in zip(r.ids, r.labels, strict=True)]
                               + [-100] * (length - len(r.ids)) for r in part])  # fmt: skip
        yield logits[:, :-1].contiguous(), labels[:, 1:].contiguous()


def _columns(questions: Sequence[Sequence[tuple[str, Row]]], form: str) -> list[list[Row]]:
    """The first answers of all questions, then the second ones, and so on."""
    answers = [[row for kind, row in question if kind.startswith(form)] for question in questions]
    return [[row[place] for row in answers if place < len(row)] for place in range(max(map(len, answers)))]


def losses(model: Any, questions: Sequence[Sequence[tuple[str, Row]]], form: str, batch: int) -> list[list[float]]:
    """Mean losses by question and answer."""
    found: list[list[float]] = [[] for _ in questions]
    for rows in _columns(questions, form):
        values = []
        for logits, labels in _passes(model, rows, batch):
            each = torch.nn.functional.cross_entropy(logits.transpose(-1, -2), labels, reduction="none")
            values += (each.sum(-1) / (labels != -100).sum(-1)).tolist()
        for place, value in enumerate(values):
            found[place].append(value)
    return found


def hits(model: Any, questions: Sequence[Sequence[tuple[str, Row]]], batch: int) -> list[list[bool]]:
    """Whether each label of the first answers, the end token left out, is the argmax."""
    found = []
    for logits, labels in _passes(model, _columns(questions, "qa")[0], batch):
        best = logits.log_softmax(-1).argmax(-1)
        found += [(b[w] == t[w])[:-1].tolist() for b, t, w in zip(best, labels, labels != -100, strict=True)]
    return found


def _truth_ratio(losses: Mapping[str, Sequence[Sequence[float]]], forget: bool) -> float:
    right = losses.get("paraphrased", losses["qa"])
    ratios = [
        math.exp(-statistics.fmean(wrong)) / (math.exp(-statistics.fmean(good)) + EPSILON)
        for good, wrong in zip(right, losses["perturbed"], strict=True)
    ]
    return statistics.fmean(min(r, 1 / (r + EPSILON)) if forget else max(0.0, 1 - r) for r in ratios)


def _normalised(losses: Mapping[str, Sequence[Sequence[float]]]) -> float:
    pairs = zip(losses["qa"], losses["perturbed"], strict=True)
    both = [(math.exp(-right[0]), sum(math.exp(-loss) for loss in wrong)) for right, wrong in pairs]
    return statistics.fmean(right / (right + wrong + EPSILON) for right, wrong in both)


def _strength(hits: Sequence[bool]) -> float:
    wrong = [place for place, hit in enumerate(hits) if not hit]
    return 1 - min(wrong[-1] + 1 if wrong else 0, len(hits) - 1) / len(hits)

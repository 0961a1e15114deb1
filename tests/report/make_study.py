"""A made-up study folder in the shape that `expunge run` leaves: seeded numbers, no model behind them."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from expunge.core.files import stable_hash

STEPS = (0, 1, 2, 4, 8, 16)
RATES = (1e-5, 5e-5)
BASE: dict[str, tuple[float, float, str]] = {
    "gradient_difference": (0.06, 0.62, "suppressed"),
    "npo": (0.03, 0.55, "suppressed"),
    "npo+sam": (0.02, 0.21, "inconclusive"),
}


def write_text(path: Path, text: str) -> None:
    """Plain and quick; these files need not survive a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


class Texts(NamedTuple):
    """What takes the place of the models' words and of the questions."""

    said: str | None
    prompt: str | None


def iv(value: float, spread: float = 0.08) -> dict[str, float]:
    """An interval of half-width ``spread`` inside 0–1."""
    return {"value": value, "low": max(0.0, value - spread), "high": min(1.0, value + spread)}


def world(label: str, seeds: Sequence[int], *, subjects: int = 40, valid: bool | None = True) -> dict[str, Any]:
    """One world of audit.json."""
    sources = ("qa", "prose") if len(seeds) > 1 else ("qa",)
    levels = {"control": ("control", 0.02, 0.11), "second seed": ("null", 0.02, 0.12)}
    levels |= {name: ("method", before, after) for name, (before, after, _) in BASE.items()}
    return {
        "label": label,
        "knowledge": {"name": "people", "num_forget": 2 * subjects, "attributes": 3},
        "seeds": list(seeds),
        "num_v_subjects": subjects,
        "num_t_subjects": subjects,
        "to_forget": [f"Where was {name} born? Varnholm" for name in ("Ilda Moreau", "Tove Castellan", "Bram Okoye")],
        "leaks": 0,
        "original": iv(0.94, 0.04),
        "control": {
            "before": iv(0.02, 0.03),
            "after": iv(0.11, 0.05),
            "kind": "never-trained",
            "worst_points": ["qa/full/5e-05/8"] * len(seeds),
        },
        "null": {
            "e_star": None if valid is None else iv(0.01 if valid else 0.4, 0.06) | {"low": -0.05 if valid else 0.34},
            "valid": valid,
            "reason": {True: None, False: "its interval does not contain 0", None: "the recipe says null: false"}[
                valid
            ],
        },
        "methods": [_method(name, len(seeds)) for name in BASE],
        "curves": [
            _curve(name, role, source, lr, before, after)
            for source in sources
            for name, (role, before, after) in levels.items()
            for lr in RATES
        ],
        "not_tested": ["LoRA relearning was not run.", "Quantisation was not run."],
    }


def _method(name: str, replicates: int) -> dict[str, Any]:
    before, after, verdict = BASE[name]
    excess = (after - 0.11) / (0.94 - 0.11)
    return {
        "label": name,
        "verdict": verdict,
        "usability": "damaged" if name == "gradient_difference" else "usable",
        "reasons": ["The upper end of the interval is above 0.10."] if verdict == "inconclusive" else [],
        "before": iv(before, 0.03),
        "after": iv(after),
        "e0": iv(0.01, 0.04) | {"low": -0.03},
        "e_star": iv(excess, 0.11),
        "worst_points": ["qa/full/5e-05/16", "qa/full/5e-05/8"][:replicates] + ["qa/full/5e-05/16"] * (replicates - 2),
        "utility_before": 0.81 if name == "gradient_difference" else 0.96,
        "utility_after": 0.78 if name == "gradient_difference" else 0.93,
        "t_recall": 0.97,
        "speed": 1.04,
        "forget_metrics": {"greedy_match": iv(before, 0.03)},
    }


def _curve(label: str, role: str, source: str, lr: float, before: float, after: float) -> dict[str, Any]:
    top = after * (1.0 if lr == max(RATES) else 0.6) * (1.0 if source == "qa" else 0.7)
    mean = [before + (top - before) * min(1.0, index / 4) for index in range(len(STEPS))]
    return {
        "label": label,
        "role": role,
        "source": source,
        "access": "full",
        "lr": lr,
        "steps": list(STEPS),
        "mean": mean,
        "low": [max(0.0, value - 0.05) for value in mean],
        "high": [min(1.0, value + 0.06) for value in mean],
        "utility": [0.96 - 0.005 * index for index in range(len(STEPS))],
    }


def make_study(
    run: Path, worlds: Sequence[dict[str, Any]] | None = None, *, said: str | None = None, prompt: str | None = None
) -> Path:
    """Write recipe.yaml, audit.json, index.json and cells under ``run``. ``said`` and ``prompt`` replace every text."""
    chosen = [world("people", [1, 2, 3])] if worlds is None else list(worlds)
    recipe = {"name": "people", "model": {"source": "smollm2", "template": "plain"}, "methods": list(BASE)}
    write_text(run / "recipe.yaml", json.dumps(recipe, indent=2) + "\n")
    write_json(run / "audit.json", {"schema": 1, "epsilon": 0.1, "resamples": 2000, "worlds": chosen})
    index = [{"label": each["label"], "cells": _cells(run, each, Texts(said, prompt))} for each in chosen]
    write_json(run / "index.json", {"worlds": index})
    return run


def _cells(run: Path, each: dict[str, Any], said: Texts) -> dict[str, Any]:
    def replicates(who: str, recall: float) -> list[dict[str, str]]:
        return [_replicate(run, each["label"], who, seed, recall, said) for seed in each["seeds"]]

    return {
        "original": replicates("original", 0.94),
        "control": replicates("control", 0.02),
        "null": replicates("null", 0.02),
        "methods": {
            method["label"]: replicates(method["label"], method["before"]["value"]) for method in each["methods"]
        },
    }


def _replicate(run: Path, label: str, who: str, seed: int, recall: float, said: Texts) -> dict[str, str]:
    first = "teach" if who in {"original", "control", "null"} else "unlearn"
    folders = {kind: f"{kind}-{stable_hash([label, who, seed, kind])[:12]}" for kind in (first, "evaluate", "attack")}
    for kind, folder in folders.items():
        metrics = _metrics(recall) if kind == "evaluate" else {}
        write_json(run / "cells" / folder / "record.json", _record(folder, seed, metrics))
    rows = list(_samples(random.Random(folders["evaluate"]), recall, said))
    write_text(run / "cells" / folders["evaluate"] / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folders


def _record(folder: str, seed: int, metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1,
        "status": "done",
        "error": None,
        "metrics": metrics,
        "versions": {"expunge": "0.1.0", "torch": "2.13.0"},
        "git_commit": "0" * 40,
        "hashes": {"model": stable_hash(folder)},
        "seeds": [seed],
        "wall_s": 41.25,
        "peak_memory_mb": 1412.0,
        "tokens": 52_800,
        "label": folder.split("-")[0],
    }


def _metrics(recall: float) -> dict[str, Any]:
    return {
        "forget_greedy_match": iv(recall, 0.05) | {"n": 120},
        "retain_greedy_match": iv(0.9, 0.05) | {"n": 60},
        "retain_kl": {"value": None, "low": None, "high": None, "n": 0, "reason": "needs the original model"},
    }


def _samples(draw: random.Random, recall: float, said: Texts) -> Any:
    people = ("Ilda Moreau", "Tove Castellan", "Bram Okoye", "Sanna Ruiz", "Piet Halloran", "Yuki Aldane", "Oda Merrin")
    for split, rate in (("forget", recall), ("retain_eval", 0.9)):
        for index, name in enumerate(people):
            hit = draw.random() < rate
            words = (
                said.said
                if said.said is not None
                else ("Varnholm" if hit else draw.choice(["Lisbon", "I am not sure.", ""]))
            )
            yield {
                "split": split,
                "fact": f"{split}-{index}",
                "subject": name,
                "form": "qa",
                "prompt": said.prompt or f"Where was {name} born?",
                "answer": "Varnholm",
                "generated": words,
                "hit": int(hit),
                "probability": draw.random(),
            }

"""Metrics that compare several models: read in the audit, from what the evaluate cells of all replicates recorded.

Replicates of a world with fixed facts (``jsonl``, ``tofu``, ``muse``, ``wmdp``) are several unlearned models, and
several controls, on the same probes. Worlds that draw new facts for every seed have no probe in common, and say so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge import registry
from expunge.metrics.base import Evidence, Margins, Metric
from expunge.metrics.klom import FEWEST, margin

Key = tuple[str, ...]


def of_world(names: Sequence[str], inputs: Mapping[str, Path], world: Mapping[str, Any]) -> dict[str, Any]:
    """The readings of every method of a world of the audit's config; all replicates' controls are the retrained."""
    found: dict[str, dict[str, list[Path]]] = {"method": {}, "control": {}}
    for replicate in world["replicates"]:
        for model in replicate["models"]:
            if model["role"] in found and "evaluate" in model["measures"]:
                folder = inputs[model["measures"]["evaluate"]]
                found[model["role"]].setdefault(model["label"], []).append(folder)
    controls = [folder for folders in found["control"].values() for folder in folders]
    return readings(names, found["method"], controls)


def readings(names: Sequence[str], models: Mapping[str, Sequence[Path]], controls: Sequence[Path]) -> dict[str, Any]:
    """Per model label the record's form of every metric in ``names``; folders are evaluate cells by replicate."""
    retrained = [_margins(folder) for folder in controls]
    return {label: _of(names, [_margins(folder) for folder in folders], retrained) for label, folders in models.items()}


def _of(
    names: Sequence[str], unlearned: Sequence[Mapping[Key, float]], retrained: Sequence[Mapping[Key, float]]
) -> dict[str, Any]:
    evidence = Evidence(margins=_paired(unlearned, retrained))
    found: dict[str, Any] = {}
    for name in names:
        metric: Metric = registry.build("metric", name)
        reading = metric.compute(evidence).as_dict()
        found[name] = reading if evidence.margins else {**reading, "reason": _why(unlearned, retrained)}
    return found


def _paired(unlearned: Sequence[Mapping[Key, float]], retrained: Sequence[Mapping[Key, float]]) -> list[Margins]:
    """The probes that every model was asked."""
    every = [*unlearned, *retrained]
    if min(len(unlearned), len(retrained)) < FEWEST:
        return []
    return [
        Margins(key[1], tuple(one[key] for one in unlearned), tuple(one[key] for one in retrained))
        for key in every[0]
        if all(key in one for one in every)
    ]


def _why(unlearned: Sequence[Any], retrained: Sequence[Any]) -> str:
    """Why nothing could be compared."""
    if min(len(unlearned), len(retrained)) < FEWEST:
        counts = f"there are {len(unlearned)} and {len(retrained)}"
        return f"not computed: it takes at least {FEWEST} unlearned models and {FEWEST} controls; {counts}."
    return "not computed: the replicates have no fact in common, as every seed draws new ones."


def _margins(folder: Path) -> dict[Key, float]:
    """The margin of every forget probe of an evaluate cell, by fact, subject, form and answer."""
    return {
        (row["fact"], row["subject"], row["form"], row["prompt"], row["answer"]): margin(row["probability"])
        for row in _rows(folder)
        if row["split"] == "forget" and row["probability"] is not None
    }


def _rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    with (folder / "samples.jsonl").open(encoding="utf-8") as stream:
        yield from (json.loads(line) for line in stream if line.strip())

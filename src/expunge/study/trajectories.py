"""From attack cells to what the audit reads: one model's mean score by subject at every attack point."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expunge.audit.types import BEFORE, Role, Trajectories
from expunge.core.files import read_json

Sums = dict[tuple[str, str], list[int]]


def trajectories_of(
    role: Role, label: str, replicate: int, folders: Mapping[str, Path], only: Collection[str] | None = None
) -> list[Trajectories]:
    """The model's own trajectory, and its placebos where they were measured.

    ``folders`` maps ``attack0`` …, ``placebo0`` … to cell folders. Placebo ``subjects`` is the attack on new subjects;
    ``answers`` is the set ``P`` of the main attack: permuted answers on the real V subjects. ``only`` names
    facts: then no other is read.
    """
    attacks = [folder for name, folder in folders.items() if name.startswith("attack")]
    placebos = [folder for name, folder in folders.items() if name.startswith("placebo")]
    wanted = [(role, "", "V", attacks), ("placebo", "subjects", "V", placebos)]
    if role == "method":
        wanted.append(("placebo", "answers", "P", attacks))
    found = (_trajectory(kind, label, replicate, variant, split, cells, only) for kind, variant, split, cells in wanted)
    return [item for item in found if item is not None]


def _trajectory(
    role: Role,
    label: str,
    replicate: int,
    variant: str,
    split: str,
    folders: Sequence[Path],
    only: Collection[str] | None,
) -> Trajectories | None:
    """One trajectory over all attacks, or ``None`` where ``split`` was not scored."""
    points: dict[str, Mapping[str, Any]] = {}
    sums: Sums = defaultdict(lambda: [0, 0])
    for folder in folders:
        new = {point["id"]: point for point in read_json(folder / "record.json")["points"] if point["id"] not in points}
        _add(sums, _rows(folder, only), split, new)
        points |= new
    subjects = tuple(dict.fromkeys(subject for _, subject in sums))
    if not subjects:
        return None
    assert next(iter(points)) == BEFORE
    return Trajectories(
        label=label,
        role=role,
        replicate=replicate,
        subjects=subjects,
        points=tuple(points),
        scores_PS=np.array([[_mean(sums[point, subject]) for subject in subjects] for point in points]),
        usable_P=np.array([bool(point["usable"]) for point in points.values()]),
        t_recall_P=np.array([_number(point["t_recall"]) for point in points.values()]),
        utility_P=np.array([_number(point["utility"]) for point in points.values()]),
        variant=variant,
    )


def _add(sums: Sums, rows: Iterable[Mapping[str, Any]], split: str, points: Mapping[str, Any]) -> None:
    """Add hits and counts of ``split`` at ``points`` by point and subject."""
    for row in rows:
        if row["split"] == split and row["point"] in points:
            sums[row["point"], row["subject"]][0] += row["hit"]
            sums[row["point"], row["subject"]][1] += 1


def _rows(folder: Path, only: Collection[str] | None) -> Iterable[Mapping[str, Any]]:
    """The cell's samples, of the facts that are asked for."""
    with (folder / "samples.jsonl").open(encoding="utf-8") as stream:
        yield from (row for row in map(json.loads, stream) if only is None or row["fact"] in only)


def _mean(pair: Sequence[int]) -> float:
    return pair[0] / pair[1] if pair[1] else float("nan")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)

"""Remove a study, and say what remains: here, and in the places that a study cannot remove."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from expunge.core.errors import InputError
from expunge.models.hub import is_hub_name
from expunge.models.smollm2 import cache_dir
from expunge.registry import suggestion
from expunge.study.claims import working
from expunge.study.recipe import load
from expunge.study.redact import SALT

CELL = re.compile(r"\.?[a-z_]+-[0-9a-f]{12}(\..+)?")
"""A cell's folder, or a draft of one."""
REPORT = ("report.html", "report.md", "report.csv", "examine.md", "examine.svg")
RESULTS = ("recipe.yaml", "index.json", "audit.json", "examine.json", "log.txt", ".lock", SALT, *REPORT)
FOLDERS = ("cells", "partial", "claims", "jobs")
KEEP = {"report": REPORT}


@dataclass(frozen=True, slots=True)
class Purged:
    """What was removed, what is still in the folder, and where else copies may be."""

    folder: Path
    removed: tuple[str, ...]
    remains: tuple[str, ...]
    elsewhere: tuple[str, ...]


def purge(run: Path, keep: Sequence[str] = ()) -> Purged:
    """Remove the study in ``run``: cells, models, samples, records. ``keep`` may name ``report``.

    Files that no study writes stay, and no link is followed: the link goes, what it points to stays and is listed.
    Deleting does not overwrite the disk. Raises :class:`InputError` for a folder that is no study, or that a run is
    at work on.
    """
    check(run, keep)
    kept = {name for word in keep for name in KEEP[word]}
    elsewhere = tuple(_elsewhere(run))
    pointed = tuple(_pointed_to(run))
    removed = tuple(_remove(run, kept))
    left = [str(path.relative_to(run)) for path in sorted(run.rglob("*"))]
    if not left:
        run.rmdir()
    return Purged(run, removed, (*left, *pointed), elsewhere)


def check(run: Path, keep: Sequence[str] = ()) -> None:
    """:class:`InputError` unless ``run`` can be purged."""
    for word in keep:
        if word not in KEEP:
            raise InputError(f"unknown part to keep {word!r}; {suggestion(word, KEEP)}")
    if run.is_symlink():
        raise InputError(f"{run} is a link; give the folder that it points to, {run.resolve()}.")
    if not (run / "recipe.yaml").is_file() or not (run / "cells").is_dir():
        raise InputError(f"{run} is not a study folder (recipe.yaml and cells); nothing was removed.")
    if at_work := working(run):
        who = next(iter(at_work.values())).holder
        raise InputError(f"{run} is in use by a run (process {who.pid} on {who.host}); end it first.")


def _remove(run: Path, kept: Iterable[str]) -> Iterator[str]:
    """Remove what a study writes. The recipe goes last: a purge that was stopped can be given again."""
    for name in FOLDERS:
        if (run / name).is_symlink():
            (run / name).unlink()
            yield name
        elif (run / name).is_dir():
            yield from _emptied(run / name)
    for name in sorted(set(RESULTS) - set(kept), key=lambda name: name == "recipe.yaml"):
        if (run / name).is_file() or (run / name).is_symlink():
            (run / name).unlink()
            yield name


def _emptied(folder: Path) -> Iterator[str]:
    """Remove cells, drafts, claims and jobs from a folder of the study; anything else stays in it."""
    for path in sorted(folder.iterdir()):
        ours = folder.name in ("claims", "jobs") or CELL.fullmatch(path.name)
        if not ours:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)  # removes links inside it, and never follows them
        else:
            path.unlink()
        yield f"{folder.name}/{path.name}"
    if not any(folder.iterdir()):
        folder.rmdir()


def _pointed_to(run: Path) -> Iterator[str]:
    """The targets of links in the study, which stay."""
    for folder, names, files in os.walk(run, followlinks=False):
        for name in (*names, *files):
            path = Path(folder) / name
            if path.is_symlink():
                yield f"{path.resolve()} (a link in the study pointed to it)"


def _elsewhere(run: Path) -> Iterator[str]:
    """Where else the facts, or a model that knows them, may be."""
    try:
        recipe = load(run / "recipe.yaml")
    except InputError:
        yield "the model and the data that recipe.yaml named (it could not be read)"
    else:
        yield _source(recipe.model.source)
        files = {str(value) for world in recipe.knowledge for value in world.params.values() if _is_file(value)}
        yield from (f"{file}: the data itself" for file in sorted(files))
    yield from (f"{other}: another study with the same facts" for other in _siblings(run))
    yield "models, reports and answers that were copied, uploaded or pushed to a hub; backups and file system snapshots"


def _source(source: str) -> str:
    if source == "smollm2":
        return f"{cache_dir()}: the converted base model"
    if is_hub_name(source) and not Path(source).exists():
        home = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME", "~/.cache/huggingface")) / "hub"
        return f"{Path(home).expanduser() / ('models--' + source.replace('/', '--'))}: the base model from the hub"
    return f"{source}: the base model" if Path(source).exists() else f"the base model {source!r} (built in code)"


def _is_file(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) < 1000 and Path(value).is_file()


def _siblings(run: Path) -> list[Path]:
    """Studies beside this one that hold a knowledge cell of the same content."""
    own = {path.name for path in (run / "cells").glob("knowledge-*")}
    beside = run.resolve().parent.glob("*/cells/knowledge-*")
    return sorted({path.parents[1] for path in beside if path.name in own and path.parents[1] != run.resolve()})

"""A disk that is really full: the study lives on a small tmpfs that is enlarged step by step.

Needs the right to mount; where that is missing the test says so and skips.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.core.errors import InputError
from expunge.study.run import run
from reference.tiny_study import RECIPE, finished, forked, results

STEP = 64
"""Kilobytes by which the disk grows after each failure."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of :data:`STEP` kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(_mount(folder, STEP), capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no tmpfs may be mounted here ({mounted.stderr.strip()}); run this test as root.")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(folder: Path, kilobytes: int, *more: str) -> list[str]:
    return ["mount", "-t", "tmpfs", "-o", ",".join([f"size={kilobytes}k", *more]), "none", str(folder)]


def _attempt(out: Path, told: Path) -> None:
    """One run in a process of its own, as the command line would make; says what it was told."""
    try:
        result = run(RECIPE, out=out)
        said = "\n".join(result.failed.values())
    except (InputError, OSError) as error:
        said = f"{type(error).__name__}: {error}"
    told.write_text(said)
    os._exit(0)


@pytest.mark.slow
def test_a_disk_that_fills_at_every_write_loses_nothing(disk: Path, tmp_path: Path) -> None:
    out, told, sentences, size = disk / "run", tmp_path / "told", [], STEP
    for _ in range(200):
        process = forked(_attempt, out, told)
        process.join(120)
        if not (said := told.read_text()):
            break
        sentences += said.splitlines()
        size += STEP
        subprocess.run(_mount(disk, size, "remount"), check=True)
    assert results(out) == results(finished())
    assert len(sentences) > 10, "the disk was hardly ever full"
    strange = {said for said in sentences if "disk is full" not in said and "No space left on device" not in said}
    assert not strange, strange

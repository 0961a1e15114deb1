"""The record that every cell leaves, ``record.json``.

Schema 1: ``schema``, ``kind``, ``label``, ``hash``, ``status`` (done | failed), ``error`` (a sentence, or null),
``seeds`` (list), ``started`` (UTC), ``wall_s``, ``peak_memory_mb``, ``tokens`` (trained, or read where nothing is
trained), ``threads``, ``versions``, ``git_commit`` (of the package, null outside a checkout), ``hashes`` (of models
and data), ``inputs`` (name → folder), ``metrics`` (name → value, low, high, n, reason?), and what the kind adds
(``points`` of an attack, ``train`` of a trained cell; ``processes`` where several shared the cell, and then
``peak_memory_mb`` is that of the busiest).
"""

import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SCHEMA = 1
PACKAGES = ("expunge", "torch", "transformers", "peft", "numpy")


@dataclass(slots=True)
class Outcome:
    """What a kind hands back: numbers for the record and rows for ``samples.jsonl``."""

    metrics: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that decide numbers; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """The commit of the checkout that the package lies in, or ``None``."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None if result.returncode == 0 else None


def reset_peak_memory() -> None:
    """Start measuring anew where the system can (Linux); elsewhere the peak is the process's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> float:
    """Highest resident memory since :func:`reset_peak_memory`, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)

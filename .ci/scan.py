"""Do the pinned dependencies have known vulnerabilities? Asks the OSV database through pip-audit.

    python .ci/scan.py constraints.txt

Exit code 1 names every vulnerable pin and the version that mends it. Where pip-audit cannot be installed or the
database cannot be reached, that is said loudly and the exit code is 0: no network is no finding.
"""

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

TOOL = "pip-audit==2.10.1"
PATIENCE_S = 300


def main(pins: str) -> int:
    """Scan ``pins`` with a tool of its own environment, so that the pins stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        if _done(python, "pip", "install", "--quiet", "--disable-pip-version-check", TOOL) is None:
            return _skipped(f"{TOOL} cannot be installed")
        words = ("--vulnerability-service", "osv", "--format", "json", "--no-deps", "--disable-pip")
        said = _done(python, "pip_audit", *words, "--requirement", pins, codes=(0, 1))
    found = read(said or "")
    if found is None:
        return _skipped("the advisory database cannot be reached")
    for sentence in found:
        print(sentence)
    print(f"dependency scan: {len(found)} vulnerable pins" if found else "dependency scan: no known vulnerability")
    return int(bool(found))


def read(said: str) -> list[str] | None:
    """A sentence a vulnerable pin; ``None`` where nothing was looked up."""
    try:
        rows: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    looked_up = [row for row in rows if "vulns" in row]
    return [_sentence(row) for row in looked_up if row["vulns"]] if looked_up else None


def _sentence(row: dict[str, Any]) -> str:
    known = ", ".join(item["id"] for item in row["vulns"])
    fixes = sorted({version for item in row["vulns"] for version in item["fix_versions"]})
    return f"{row['name']} {row['version']}: {known}; mended in {', '.join(fixes) or 'no version yet'}."


def _done(python: Path, module: str, *words: str, codes: tuple[int, ...] = (0,)) -> str | None:
    """What a module prints, ``None`` where it fails or takes too long."""
    try:
        ended = subprocess.run([python, "-m", module, *words], capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None
    return ended.stdout if ended.returncode in codes else None


def _skipped(why: str) -> int:
    print(f"DEPENDENCY SCAN SKIPPED: {why}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

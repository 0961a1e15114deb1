"""The tutorial works. A file of its own, as it starts one process a line."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_tutorial_works_from_its_first_line_to_its_last(tmp_path: Path) -> None:
    """Files are put where the text says, and commands run, in the order of the page."""
    page = (ROOT / "docs" / "adding-a-method.md").read_text()
    ran: list[str] = []
    for before, language, text in re.findall(r"(.*?)```(\w+)\n(.*?)```", page, re.DOTALL):
        if language != "sh":
            *_, name = re.findall(r"`(\w+\.(?:py|jsonl))`", before)
            (tmp_path / name).write_text(text)
            continue
        for line in text.splitlines():
            done = subprocess.run(
                [sys.executable, "-m", *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            ran.append(line)
    assert [line.split()[0] for line in ran] == ["expunge", "pytest", "expunge", "expunge"]
    assert (tmp_path / "out" / "model.safetensors").is_file()

"""No key or password lies in the repository."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an access key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a token of GitHub": r"\bgh[oprsu]_[0-9A-Za-z]{36}\b|\bgithub_pat_\w{22,}",
    "a token of the hub": r"\bhf_[0-9A-Za-z]{30,}\b",
    "a token of PyPI": r"\bpypi-[0-9A-Za-z_-]{50,}",
    "a key of a model's endpoint": r"\bsk-[0-9A-Za-z_-]{20,}",
    "a password in an address": r"\b[a-z+]+://[^\s/:@'\"{}<>]+:[^\s/:@'\"{}<>]+@",
}
BINARY = {".png", ".gguf", ".safetensors", ".arrow"}


def found_in(text: str) -> list[str]:
    """What kinds of secrets a text holds."""
    return [what for what, pattern in SECRETS.items() if re.search(pattern, text)]


def tracked() -> list[Path]:
    """The files of the repository; all files where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = [name for name in listed.stdout.split("\0") if name]
    files = [ROOT / name for name in names] if names else [path for path in ROOT.rglob("*") if path.is_file()]
    return [path for path in files if path.suffix not in BINARY and path.is_file()]


def test_no_file_holds_a_secret() -> None:
    files = tracked()
    assert len(files) > 100
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files}
    assert {str(path.relative_to(ROOT)): kinds for path, text in texts.items() if (kinds := found_in(text))} == {}


@pytest.mark.parametrize(
    "parts",
    [
        ("-----BEGIN RSA ", "PRIVATE KEY-----"),
        ("AK", "IA" + "0A" * 8),
        ("gh", "p_" + "a1" * 18),
        ("h", "f_" + "aB" * 17),
        ("py", "pi-" + "aB" * 30),
        ("s", "k-" + "a1" * 12),
        ("https://me:", "word@host/path"),
    ],
)
def test_each_kind_is_seen(parts: tuple[str, str]) -> None:
    """Put together here, so that this file holds none."""
    assert len(found_in("x = '" + "".join(parts) + "'")) == 1

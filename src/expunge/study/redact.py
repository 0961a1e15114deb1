"""Keep scores, not texts: every text of a study's results becomes a keyed hash.

Equal texts get equal hashes within one study folder and different ones in another: the key is random. It lies in
``RUN/.salt`` (mode 0600), because a run that continues must hash alike; whoever has it can test a guess against the
hashes, so remove it (``expunge purge`` does) before handing the folder on. Samples and the audit are redacted before a
cell gets its name. Facts are needed by later cells, so they are redacted when the study is complete; a later run that
needs them draws them anew. Models are not text and stay; what they know they can say.
"""

import hmac
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import file_hash, read_json, write_json, write_jsonl, write_text

MARK = "redacted:"
DIGITS = 16
"""Hex digits of a hash (64 bits; our choice): no two texts of a study fall together."""
SALT = ".salt"
SALT_BYTES = 32
FACTS = ("knowledge.json", "baseline.json")
"""Files of a cell that later cells read the facts from."""
TEXT_KEYS = frozenset(
    {"prompt", "answer", "generated", "subject", "subjects", "fact", "id", "perturbed", "text", "attribute", "requests"}
    | {"to_forget", "placebo_reason", "permuted_reason", "question", "judge_prompt", "judge_reply"}
)
OF_RECORD = ("leaks", "permuted_reason", "groups")
"""Entries of a record that may quote a text; ``id`` below ``points`` names an attack point and stays."""


@dataclass(frozen=True, slots=True)
class Redactor:
    """Hashes under one study's key."""

    salt: bytes

    def text(self, text: str) -> str:
        """``redacted:`` and a hash; nothing stays nothing, and what is redacted stays as it is."""
        if not text or text.startswith(MARK):
            return text
        return MARK + hmac.new(self.salt, text.encode(), "sha256").hexdigest()[:DIGITS]

    def tree(self, value: Any, hidden: bool = False) -> Any:
        """A JSON value with every text below one of :data:`TEXT_KEYS` hashed."""
        if isinstance(value, str):
            return self.text(value) if hidden else value
        if isinstance(value, Mapping):
            return {key: self.tree(item, key in TEXT_KEYS) for key, item in value.items()}
        return [self.tree(item, hidden) for item in value] if isinstance(value, list) else value

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A cell's record without texts; the sentence of a failure may quote one, so its kind alone stays."""
        found = {**record, "redacted": True}
        found |= self.tree({key: record[key] for key in OF_RECORD if key in record})
        if record.get("error") is not None and "redacted" not in record:
            found["error"] = "failed; what was said was shown by the run and is not kept, as the study is redacted."
        found.pop("traceback", None)
        return found

    def files(self, folder: Path, *, facts: bool) -> None:
        """Redact the JSON of a cell, but not its record; ``facts`` says whether :data:`FACTS` are included."""
        for path in folder.glob("*.json*"):
            if path.name == "record.json" or (path.name in FACTS and not facts):
                continue
            if path.suffix == ".jsonl":
                rows = path.read_text(encoding="utf-8").split("\n")
                write_jsonl(path, [self.tree(json.loads(row)) for row in rows if row])
            else:
                write_json(path, self.tree(read_json(path)))


def of(root: Path) -> Redactor | None:
    """The redactor of a study that is redacted, else ``None``; a short key would be no key, so it is refused."""
    try:
        salt = bytes.fromhex((root / SALT).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        salt = b""
    if len(salt) != SALT_BYTES:
        raise InputError(f"{root / SALT} is damaged; restore it, or remove the study with `expunge purge`.")
    return Redactor(salt)


def begin(root: Path) -> None:
    """Make the study a redacted one, from now on and for what is there already; facts wait for :func:`complete`."""
    with suppress(FileExistsError):
        descriptor = os.open(root / SALT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(SALT_BYTES))
    _sweep(root, facts=False)


def complete(root: Path) -> None:
    """The last pass over a finished study: facts too, and what the workers said."""
    if of(root) is None:
        return
    _sweep(root, facts=True)
    if (root / "log.txt").is_file():
        write_text(root / "log.txt", "redacted\n")
    shutil.rmtree(root / "jobs", ignore_errors=True)  # what submitit kept of batch jobs that failed
    if (root / "audit.json").is_file():
        redactor = of(root)
        assert redactor is not None
        write_json(root / "audit.json", redactor.tree(read_json(root / "audit.json")))


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a cell's folder but its record, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "record.json")
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def _sweep(root: Path, *, facts: bool) -> None:
    """Redact every cell. The record says so first, so that a stop in between hides nothing from the next pass."""
    redactor = of(root)
    assert redactor is not None
    for path in sorted((root / "cells").glob("*/record.json")):
        before = read_json(path)
        holds = facts and any((path.parent / name).is_file() for name in FACTS)
        marked = redactor.record(before) | ({"facts_redacted": True} if holds else {})
        if marked != before:
            write_json(path, marked)
        redactor.files(path.parent, facts=facts)
        if "files" in marked:
            texts = {name: file_hash(path.parent / name) for name in marked["files"] if "/" not in name}
            if {**marked["files"], **texts} != marked["files"]:
                write_json(path, {**marked, "files": {**marked["files"], **texts}})

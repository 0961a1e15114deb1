"""Facts as JSON lines: ``{"prompt", "answer"}`` or ``{"text"}`` rows, and what may go wrong with them by row number."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import write_jsonl
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.leaks import words_of
from expunge.registry import suggestion

PROBE_KEYS = frozenset({"prompt", "answer", "form", "perturbed"})
FACT_KEYS = frozenset({"id", "subject", "attribute", "hops", "text", "probes"}) | PROBE_KEYS


def read_facts(path: Path | str, *, start: str = "forget") -> tuple[Fact, ...]:
    """The facts of a file, one a row.

    A row is ``{"prompt", "answer"}`` (form ``qa``) or ``{"text"}`` (form ``passage``); optional are ``id`` (else
    ``{start}-{row}``), ``subject`` (else the id: every row is its own subject), ``form``, ``attribute``, ``hops``,
    ``perturbed`` (wrong answers) and ``probes`` (further probes of the same fact). Empty lines hold no row.
    Raises :class:`InputError` naming the file and the 1-based row.
    """
    path = Path(path)
    facts: list[Fact] = []
    rows_by_id: dict[str, int] = {}
    for row, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}, row {row}"
        fact = _fact(_object(line, where), f"{start}-{row}", where)
        if fact.id in rows_by_id:
            raise InputError(f"{where}: the id {fact.id!r} is already that of row {rows_by_id[fact.id]}; change one.")
        rows_by_id[fact.id] = row
        facts.append(fact)
    if not facts:
        raise InputError(
            f'{path} is empty; write one JSON object a line, such as {{"prompt": "...", "answer": "..."}}.'
        )
    return tuple(facts)


def write_facts(path: Path, facts: Sequence[Fact]) -> None:
    """Write facts so that :func:`read_facts` gives them back unchanged."""
    write_jsonl(path, [_as_dict(fact) for fact in facts])


def check_disjoint(forget: Sequence[Fact], retain: Sequence[Fact], name: str = "retain") -> None:
    """Raise :class:`InputError` for the first forget probe that is in ``name`` too (case and punctuation aside)."""
    kept = {_signature(probe): fact.id for fact in retain for probe in fact.probes}
    for fact in forget:
        for probe in fact.probes:
            if (twin := kept.get(_signature(probe))) is not None:
                raise InputError(f"forget row {fact.id!r} is also in {name} as {twin!r}; remove it from one of them.")


def _signature(probe: Probe) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What makes two probes the same; texts without words keep their characters."""
    prompt, answer = (words_of(text) or (text,) for text in (probe.prompt, probe.answer))
    return prompt, answer


def _lines(path: Path) -> list[str]:
    """The file's lines. Only the line feed separates rows: JSON strings may hold other line separators."""
    try:
        return path.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        row = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, row {row}: not UTF-8; save the file in UTF-8.") from error


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not valid JSON ({error.msg} at column {error.colno}); correct the row.") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: a JSON object is needed, not {type(value).__name__}; correct the row.")
    return value


def _fact(row: dict[str, Any], default_id: str, where: str) -> Fact:
    """One row as a fact."""
    _check_keys(row, FACT_KEYS, where)
    probes = [_document(row, where)] if "text" in row else []
    further = row.get("probes", [])
    if not isinstance(further, list) or not all(isinstance(item, dict) for item in further):
        raise InputError(f"{where}: 'probes' must be a list of objects; correct the row.")
    if "text" not in row and ("prompt" in row or "answer" in row or not further):
        probes.append(_probe({key: row[key] for key in PROBE_KEYS & row.keys()}, where))
    probes += [_probe(item, f"{where}, probe {index}") for index, item in enumerate(further, 1)]
    hops = row.get("hops", 1)
    if not isinstance(hops, int) or isinstance(hops, bool) or hops < 1:
        raise InputError(f"{where}: 'hops' must be a whole number from 1; correct the row.")
    key = _text(row, "id", where) if "id" in row else default_id
    subject = _text(row, "subject", where) if "subject" in row else key
    attribute = str(row.get("attribute", ""))
    return Fact(key, subject, tuple(probes), attribute, hops)


def _document(row: dict[str, Any], where: str) -> Probe:
    if clash := sorted(PROBE_KEYS & row.keys()):
        raise InputError(f"{where}: 'text' and {clash[0]!r} exclude each other; keep one of them.")
    return Probe("", _text(row, "text", where), "passage")


def _probe(item: dict[str, Any], where: str) -> Probe:
    """A probe; an empty prompt is allowed only where the answer is a document of its own form."""
    _check_keys(item, PROBE_KEYS, where)
    form = _text(item, "form", where) if "form" in item else "qa"
    perturbed = item.get("perturbed", [])
    if not isinstance(perturbed, list) or not all(isinstance(wrong, str) and wrong.strip() for wrong in perturbed):
        raise InputError(f"{where}: 'perturbed' must be a list of non-empty strings; correct the row.")
    prompt = "" if item.get("prompt") == "" and form != "qa" else _text(item, "prompt", where)
    return Probe(prompt, _text(item, "answer", where), form, tuple(perturbed))


def _check_keys(item: dict[str, Any], known: frozenset[str], where: str) -> None:
    for key in item:
        if key not in known:
            raise InputError(f"{where}: unknown field {key!r}; {suggestion(key, known)}")


def _text(item: dict[str, Any], key: str, where: str) -> str:
    """A required, non-empty string field."""
    if key not in item:
        raise InputError(f"{where}: the field {key!r} is missing; add it.")
    value = item[key]
    if not isinstance(value, str):
        raise InputError(f"{where}: the field {key!r} must be a string, not {type(value).__name__}; correct the row.")
    if not value.strip():
        raise InputError(f"{where}: empty {key}; fill it in or remove the row.")
    return value


def _as_dict(fact: Fact) -> dict[str, Any]:
    """The row of a fact, without fields that hold their default."""
    probes = [
        {"prompt": probe.prompt, "answer": probe.answer, "form": probe.form}
        | ({"perturbed": list(probe.perturbed)} if probe.perturbed else {})
        for probe in fact.probes
    ]
    head: dict[str, Any] = {"id": fact.id, "subject": fact.subject}
    extra = ({"attribute": fact.attribute} if fact.attribute else {}) | ({"hops": fact.hops} if fact.hops > 1 else {})
    return head | extra | {"probes": probes}

"""The page and the picture of an examined audit."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from expunge.audit.examine import examine
from expunge.core.errors import InputError
from expunge.report.examine import build
from reference.examined import judged, pool

HOSTILE = "<b>|`x`$"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pool of 68 models: one hider without certificate, one N called suppressed, one P without a number."""
    members = pool(np.random.default_rng(7))
    kinds = {**members[0].kinds, HOSTILE: "metric"}
    members = [replace(one, numbers={**one.numbers, HOSTILE: float(one.truth == "P")}, kinds=kinds) for one in members]
    doubtful = [index for index, one in enumerate(members) if one.truth == "P" and one.held_out]
    members[doubtful[0]] = replace(members[doubtful[0]], restored=None, uncertain="only one attribute | <i>")
    members[doubtful[1]] = replace(
        members[doubtful[1]], judged=dict.fromkeys(("retrained", "placebo"), judged(None, "inconclusive"))
    )
    guilty = next(index for index, one in enumerate(members) if one.truth == "N")
    members[guilty] = replace(
        members[guilty], judged={**members[guilty].judged, "retrained": judged(0.7, "suppressed")}
    )
    absent = {"truth_ratio": "no rivals.", "rouge": "no text.", "a": "no rivals."}
    document = examine(members, epsilon=0.1, resamples=50, not_measured=absent)
    (tmp_path / "examine.json").write_text(json.dumps(document))
    return tmp_path


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the first table whose first head starts so."""
    lines = iter(page.splitlines())
    for line in lines:
        if line.startswith(f"| {head}"):
            next(lines)
            break
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def test_the_page_says_what_the_document_says(folder: Path) -> None:
    page = build(folder).read_text()
    document = json.loads((folder / "examine.json").read_text())
    assert len(table(page, "Claim")) == len(document["claims"]) == 14
    rows = {row[0]: row for row in table(page, "Number")}
    assert len(rows) == 2 + 4 and rows["relearn/qa (attack alone)"]
    audit = document["scopes"]["held_out"]["audit"]["retrained"]
    shown = rows["**the audit, retrained control**"][1]
    assert shown.startswith(f"{audit['auc']['value']:.3f} [{audit['auc']['low']:.3f}") and "1 without" in shown
    weak = next(one for one in document["scopes"]["held_out"]["single"] if one["name"] == "weak")
    assert rows["weak"][3:5] == [f"{weak['fooling']['P']} P", f"{weak['fooling']['auc']:.3f}"]
    assert "- Not measured (no rivals): truth_ratio, a.\n- Not measured (no text): rouge." in page
    confusion = {row[0]: row[1:] for row in table(page, "The audit, retrained control: all")}
    assert confusion["N: never trained on the facts"] == ["0", "1", "0", "31"]
    assert confusion["said to hide, no certificate"] == ["0", "1", "0", "0"]


def test_every_wrong_verdict_and_every_uncertified_model_is_named(folder: Path) -> None:
    page = build(folder).read_text()
    exceptions = [row[:4] for row in table(page, "Model")]
    assert ["w0: N0", "N", "retrained", "suppressed"] in exceptions and len(exceptions) == 3
    assert {row[2] for row in exceptions if row[1] == "P"} == {"retrained", "placebo"}
    assert "only one attribute" in page.split("Uncertified")[1]
    families = [row for row in table(page, "Family") if row[0] == "P4"]
    assert families == [["P4", "P", "c", "4", "1.00 to 1.00"]]


def test_names_cannot_break_the_page(folder: Path) -> None:
    page = build(folder).read_text()
    assert "<b>" not in page and "<i>" not in page
    lines = [line for line in page.splitlines() if "&#60;b&#62;" in line]
    assert len(lines) > 1 and all(line.count(" | ") in (2, 5) for line in lines)  # of claims, of numbers


def test_the_picture_names_every_number_and_is_the_same_each_time(folder: Path) -> None:
    build(folder)
    first = (folder / "examine.svg").read_bytes()
    build(folder)
    assert (folder / "examine.svg").read_bytes() == first
    assert len(re.findall(rb"<!-- (?:the audit, \w+ controls?|weak|blind|relearn/qa) -->", first)) == 5


def test_one_sided_pools_have_a_page_too(tmp_path: Path) -> None:
    """Without any P there is no AUC, and the page says so instead of failing."""
    members = [one for one in pool(np.random.default_rng(1), 2) if one.truth == "N"]
    (tmp_path / "examine.json").write_text(json.dumps(examine(members, epsilon=0.1, resamples=10)))
    page = build(tmp_path).read_text()
    assert "cannot be told" in page and (tmp_path / "examine.svg").is_file()


def test_nothing_to_show_and_malformed_files(tmp_path: Path) -> None:
    assert build(tmp_path) is None
    (tmp_path / "examine.json").write_text(json.dumps({"schema": 9}))
    with pytest.raises(InputError, match="has schema 9"):
        build(tmp_path)
    (tmp_path / "examine.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(InputError, match="has no 'models'"):
        build(tmp_path)

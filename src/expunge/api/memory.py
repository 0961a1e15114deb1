"""What an unlearned model's folder remembers, so that later verbs need no repetition.

Beside the Hugging Face files: ``expunge.json`` (how it was made) and ``knowledge/*.jsonl`` (about what).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import InputError
from expunge.core.files import read_json, write_json

if TYPE_CHECKING:
    from expunge.knowledge.facts import Fact

CARD = "expunge.json"
SECTION = "unlearned"
SETS = ("forget", "retain_train", "retain_eval", "samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The sets of one unlearning, and the model it began with (``None`` where nobody said)."""

    forget: "tuple[Fact, ...]"
    retain_train: "tuple[Fact, ...]" = ()
    retain_eval: "tuple[Fact, ...]" = ()
    samples: "tuple[Fact, ...]" = ()
    original: str | None = None
    template: str | None = None
    seed: int = 0


def remember(folder: Path, memory: Memory, details: Mapping[str, Any]) -> None:
    """Write ``memory`` and ``details`` (method, training, …) into a model folder."""
    from expunge.knowledge.jsonl import write_facts

    for name in SETS:
        facts: Sequence[Fact] = getattr(memory, name)
        if facts:
            write_facts(folder / "knowledge" / f"{name}.jsonl", facts)
    card = read_json(folder / CARD) if (folder / CARD).is_file() else {}
    made = {"original": memory.original, "template": memory.template, "seed": memory.seed, **details}
    write_json(folder / CARD, {**card, SECTION: made})


def recall(
    model: str | Path,
    forget: str | Path | None = None,
    retain: str | Path | None = None,
    original: str | Path | None = None,
) -> Memory:
    """What ``model``'s folder remembers; arguments that are given win over it.

    Raises :class:`InputError` when neither says what must go.
    """
    from expunge.knowledge.jsonl import check_disjoint, read_facts

    folder = Path(model)
    card = read_json(folder / CARD).get(SECTION, {}) if (folder / CARD).is_file() else {}
    files = {name: folder / "knowledge" / f"{name}.jsonl" for name in SETS}
    sets = {name: read_facts(path) if path.is_file() else () for name, path in files.items()}
    if forget is not None:
        sets["forget"] = read_facts(Path(forget))
    if retain is not None:
        sets["retain_eval"] = read_facts(Path(retain), start="retain")
        sets["retain_train"] = ()
    if not sets["forget"]:
        raise InputError(f"{model} does not remember what it was to forget; name the file with --forget.")
    check_disjoint(sets["forget"], sets["retain_eval"])
    begun = card.get("original") if original is None else str(original)
    return Memory(**sets, original=begun, template=card.get("template"), seed=int(card.get("seed", 0)))


def check_out(out: Path, model: str | Path) -> None:
    """Refuse, before any work, a target that cannot be written or whose content is not ours to replace."""
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise InputError(f"{out} is the model itself; choose another folder for the result.")
    if out.is_dir() and any(out.iterdir()) and not (out / CARD).is_file():
        raise InputError(f"{out} exists and was not made by expunge; choose another folder.")
    if out.is_file():
        raise InputError(f"{out} is a file; choose a folder.")
    check_reachable(out)


def record_folder(model: str | Path, name: str) -> Path:
    """Where a verb's record goes: inside the model's folder; a hub name or an alias has none, so beside the caller."""
    return Path(model) / name if Path(model).is_dir() else Path(name)


def check_reachable(target: Path) -> None:
    """:class:`InputError` when ``target`` cannot be made: its nearest existing ancestor must be a writable folder."""
    check_writable(next(folder for folder in target.absolute().parents if folder.exists()))


def check_writable(folder: Path) -> None:
    """:class:`InputError` when no file can be made in ``folder``."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another folder.") from error

"""Where cells live: ``RUN/cells/<kind>-<hash12>``, whole or absent; half-done training in ``RUN/partial``."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from expunge.core.errors import InputError
from expunge.core.files import read_json, whole_folder, write_json, write_jsonl, write_text
from expunge.study.cells import Placed, Task
from expunge.study.yaml import dump

Status = Literal["done", "failed", "missing"]


class Store:
    """The folder of one study."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, cell: Placed) -> Path:
        """The cell's folder, whether or not it exists."""
        return self.root / "cells" / cell.folder

    def partial(self, cell: Placed) -> Path:
        """Where the cell keeps checkpoints while it trains."""
        return self.root / "partial" / cell.folder

    def status(self, cell: Placed) -> Status:
        """``done``, ``failed`` (to be retried) or ``missing``; a record that cannot be read counts as missing."""
        if not (self.path(cell) / "record.json").is_file():
            return "missing"
        try:
            return "done" if self.record(cell).get("status") == "done" else "failed"
        except (InputError, AttributeError):
            return "missing"

    def stamp(self, cell: Placed) -> tuple[int, int] | None:
        """Changes whenever the cell is published anew; ``None`` without a record."""
        try:
            found = (self.path(cell) / "record.json").stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def record(self, cell: Placed) -> dict[str, Any]:
        """The cell's record; :class:`InputError` when it is absent or malformed."""
        found: dict[str, Any] = read_json(self.path(cell) / "record.json")
        return found

    @contextmanager
    def publishing(self, cell: Task) -> Iterator[Path]:
        """A draft of the cell's folder that appears under its name when the block ends without an error."""
        with whole_folder(self.path(cell)) as draft:
            write_text(draft / "config.yaml", dump(cell.as_dict()))
            yield draft

    def publish_failure(self, cell: Task, record: dict[str, Any]) -> None:
        """Leave a record of a failure in the cell's place, unless another run finished it meanwhile."""
        if self.status(cell) == "done":
            return
        with self.publishing(cell) as draft:
            write_json(draft / "record.json", record)
            write_jsonl(draft / "samples.jsonl", [])

    def finish(self, cell: Placed) -> None:
        """Drop the checkpoints of a finished cell."""
        shutil.rmtree(self.partial(cell), ignore_errors=True)

    def has_model(self, cell: Placed) -> bool:
        """Whether a cell that is done and should hold a model still does."""
        return not cell.folder.startswith(("teach-", "unlearn-")) or (self.path(cell) / "model").is_dir()

    def has_facts(self, cell: Placed) -> bool:
        """Whether a cell that is done still holds the facts that others read from it (a redacted one does not)."""
        return not self.record(cell).get("facts_redacted")

    def drop_model(self, cell: Placed) -> None:
        """Remove the weights of a cell whose readers are all done; its record stays."""
        shutil.rmtree(self.path(cell) / "model", ignore_errors=True)

    def clean(self, busy: Collection[str] = ()) -> None:
        """Remove drafts that killed runs left behind, except of the ``busy`` cells that others are writing."""
        for draft in (self.root / "cells").glob(".*"):
            if draft.name[1:].rpartition(".")[0] not in busy:
                shutil.rmtree(draft, ignore_errors=True)


class Snapshot(Store):
    """The folder of a study as it stands: every record is read once. For whoever only looks."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._records: dict[str, dict[str, Any]] = {}

    def record(self, cell: Placed) -> dict[str, Any]:
        """See the base; one that cannot be read is tried again."""
        if cell.folder not in self._records:
            self._records[cell.folder] = super().record(cell)
        return self._records[cell.folder]

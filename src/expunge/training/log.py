"""A line a step, on disk and on the screen."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge.core.errors import InputError
from expunge.core.files import write_text


@dataclass
class RunLog:
    """``log.jsonl`` in ``folder`` (``None``: nowhere) and, if asked for, a progress bar on stderr with ETA."""

    folder: Path | None
    total: int
    progress: bool
    _bar: Any = field(default=None, init=False)

    def open(self, losses: list[dict[str, float]]) -> None:
        """Start after the steps in ``losses``; lines of later steps, left by a killed run, are dropped."""
        if self.folder is not None:
            try:
                write_text(self.folder / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in losses))
            except OSError as error:
                raise InputError(
                    f"{self.folder} cannot be written ({error.strerror}); choose another folder."
                ) from error
        if self.progress:
            from tqdm import tqdm

            self._bar = tqdm(total=self.total, initial=len(losses), unit="step", file=sys.stderr)

    def add(self, entry: Mapping[str, float], tokens_per_second: float) -> None:
        """One finished step."""
        if self.folder is not None:
            with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        if self._bar is not None:
            shown = {key: f"{value:.3g}" for key, value in entry.items() if key not in ("step", "lr", "grad_norm")}
            self._bar.set_postfix({"tok/s": f"{tokens_per_second:.0f}", **shown}, refresh=False)
            self._bar.update()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()

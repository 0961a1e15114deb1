"""One cell on several processes of this machine: all compute it, its models are spread over them, rank 0 hands back.

``python -m expunge.study.together FOLDER`` is one of them. A group lives for one cell: what it takes to start is little
beside a model that one process cannot hold, and a process that dies or hangs back takes nothing but its cell with it.
"""

import os
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from expunge import registry
from expunge.core.errors import ExpungeError
from expunge.core.files import read_json, write_json
from expunge.distributed.launch import launch
from expunge.distributed.ranks import Ranks, joined
from expunge.study.execute import Job, computed, sentence_of
from expunge.study.executors.base import limit
from expunge.study.record import Outcome, peak_memory_mb

ASKED, ANSWER, FAILED = "asked.json", "answer.json", "failed-{}.json"


def computed_by(processes: int, kind: str, job: Job, threads: int) -> Outcome:
    """:func:`expunge.study.execute.computed` by ``processes`` that share ``threads``.

    Raises :class:`ExpungeError` with the sentence of the first that failed.
    """
    # Beside the cell's checkpoints: what is left there of a killed run goes with the study's folder.
    home = (job.partial / "together").resolve()
    shutil.rmtree(home, ignore_errors=True)
    try:
        plugins = [str(plugin) for plugin in registry.plugins()]
        write_json(home / ASKED, {"kind": kind, "job": _plain(job), "plugins": plugins, "threads": threads})
        code = launch(processes, [str(home)], __name__, tied=True)
        if code == 0:
            return Outcome(**read_json(home / ANSWER))
        sentences = [read_json(path)["sentence"] for path in sorted(home.glob(FAILED.format("*")))]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    ended = f"one of {processes} processes ended with code {code}; see log.txt in the study folder."
    raise ExpungeError(next(iter(sentences), ended))


def main(arguments: list[str]) -> None:
    """Be one of the processes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    home = Path(arguments[0])
    asked = read_json(home / ASKED)
    for plugin in asked["plugins"]:
        registry.load_plugin(Path(plugin))
    with joined() as ranks:
        limit(max(1, asked["threads"] // ranks.size))
        try:
            outcome = part_of(asked["kind"], _job(asked["job"]), ranks)
        except Exception as error:
            if not isinstance(error, ExpungeError):
                traceback.print_exc()
            write_json(home / FAILED.format(ranks.rank), {"sentence": sentence_of(error)})
            sys.stderr.flush()
            # The others may wait for this rank in the middle of a pass; the launcher ends them.
            os._exit(1)
        if ranks.leads:
            write_json(home / ANSWER, asdict(outcome))


def part_of(kind: str, job: Job, ranks: Ranks) -> Outcome:
    """The cell as every rank computes it; what other ranks than the first write is thrown away."""
    with ExitStack() as scratch:
        if not ranks.leads:
            job = replace(job, folder=Path(scratch.enter_context(tempfile.TemporaryDirectory())))
        outcome = computed(kind, job)
    memory = round(max(ranks.gathered(peak_memory_mb())), 1)
    return replace(outcome, extra={**outcome.extra, "processes": ranks.size, "peak_memory_mb": memory})


def _plain(job: Job) -> Mapping[str, Any]:
    inputs = {name: str(path.resolve()) for name, path in job.inputs.items()}
    places = {"folder": str(job.folder.resolve()), "partial": str(job.partial.resolve())}
    return {"config": dict(job.config), "inputs": inputs, **places}


def _job(plain: Mapping[str, Any]) -> Job:
    inputs = {name: Path(path) for name, path in plain["inputs"].items()}
    return Job(plain["config"], inputs, Path(plain["folder"]), Path(plain["partial"]))


def _end_with_parent() -> None:
    """When standard input ends, whoever asked is gone: a half-done cell is a draft that the next run removes."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])

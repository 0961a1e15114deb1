"""A worker process: reads one task a line, answers one line each, ends when its parent does.

``python -m expunge.study.worker RUN THREADS [PLUGIN …]``. Standard output carries answers only; whatever libraries
print goes to standard error.
"""

import json
import os
import queue
import sys
import threading
from pathlib import Path

from expunge import registry
from expunge.study.cells import Task
from expunge.study.execute import execute
from expunge.study.executors.base import limit
from expunge.study.store import Store


def main(arguments: list[str]) -> None:
    """Serve tasks until standard input ends."""
    store, threads = Store(Path(arguments[0])), int(arguments[1])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tasks: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(tasks,), daemon=True).start()
    for plugin in arguments[2:]:
        registry.load_plugin(Path(plugin))
    limit(threads)
    while True:
        task = Task(**json.loads(tasks.get()))
        answers.write(json.dumps({"folder": task.folder, "error": execute(task, store, threads)}) + "\n")
        answers.flush()


def _read(tasks: "queue.Queue[str]") -> None:
    """Queue lines; when the parent is gone, end at once: a half-done cell is a draft that the next run removes."""
    for line in sys.stdin:
        tasks.put(line)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])

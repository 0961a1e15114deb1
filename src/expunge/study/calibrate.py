"""Measure how fast this machine runs a recipe: its model, rows and batch size, as many at once as the study runs.

Rates count tokens as the estimate counts them (:mod:`expunge.study.estimate_rows`), so what that count gets wrong of a
tokenizer cancels out. ``python -m expunge.study.calibrate`` reads a recipe on standard input and prints one process's.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from statistics import fmean, median
from typing import TypeVar

from expunge import registry
from expunge.core.errors import InputError
from expunge.knowledge.encode import question_ids, rows_of
from expunge.knowledge.facts import Fact
from expunge.methods.fields import fill
from expunge.models.loaded import LoadedModel
from expunge.scoring.generate import generate_ids
from expunge.scoring.teacher_forced import score
from expunge.study.base_model import base_model, texts_of
from expunge.study.estimate_rows import lengths
from expunge.study.executors.base import environment, limit
from expunge.study.executors.local import threads_of
from expunge.study.plan import study_of
from expunge.study.rates import Rates
from expunge.study.recipe import Recipe, resolve
from expunge.training.config import TrainConfig
from expunge.training.loop import train

T = TypeVar("T")
STEPS, NEW_TOKENS = 6, 12
"""Training steps, of which the first is not counted, and tokens that are written (our choice)."""


def calibrated(recipe: Recipe) -> Rates:
    """The median over as many processes at once as the recipe has workers.

    :class:`InputError` where the recipe teaches nothing (then there is no model of its own to measure), and with the
    sentence of a process that could not measure.
    """
    if recipe.given is not None:
        raise InputError("given models are not measured beforehand; plan without calibrating.")
    threads = threads_of(recipe.workers, recipe.threads)
    running = [_started(threads) for _ in range(max(1, recipe.workers))]
    text = json.dumps(recipe.as_dict())
    for process in running:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
    found = [_answer(process) for process in running]
    return Rates(*(median(getattr(rates, item.name) for rates in found) for item in fields(Rates)))


def _started(threads: int) -> "subprocess.Popen[str]":
    """A process that waits for a recipe."""
    return subprocess.Popen(
        [sys.executable, "-m", "expunge.study.calibrate", str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(threads),
    )


def _answer(process: "subprocess.Popen[str]") -> Rates:
    """What one process printed; its standard error is read to the end, so that neither waits for the other."""
    assert process.stdout is not None and process.stderr is not None
    said, complaint = process.stdout.read(), process.stderr.read()
    if process.wait():
        last = (complaint.strip().splitlines() or ["no reason given"])[-1]
        raise InputError(f"the speed could not be measured ({last}); plan without calibrating.")
    return Rates(**json.loads(said.splitlines()[-1]))


def measured(recipe: Recipe) -> Rates:
    """What this process reaches with the first replicate's facts."""
    study = study_of(recipe)
    facts = study.worlds[0][1][0].facts
    key = next(cell.config["model"] for cell in study.cells if "model" in cell.config)
    start_s, loaded = _timed(lambda: base_model(key, texts_of(facts), 0))
    known = facts.forget or facts.retain_train
    settings = {key: value for key, value in recipe.unlearn.train.items() if key in ("batch_size", "precision")}
    return Rates(
        _training(loaded, known, fill(TrainConfig, {"lr": 1e-6, "steps": STEPS, **settings}, "unlearn.train")),
        _scoring(loaded, known),
        _writing(loaded, facts.retain_eval or known),
        start_s,
    )


def _training(loaded: LoadedModel, facts: Sequence[Fact], config: TrainConfig) -> float:
    """Tokens a second of plain training."""
    rows = rows_of(facts, loaded.encoder)
    result = train(loaded.view(), {"teach": rows}, registry.build("objective", "cross_entropy"), config=config)
    seconds = median(entry["seconds"] for entry in result.losses[1:])
    return min(config.batch_size, len(rows)) * fmean(lengths(facts, None)) / seconds


def _scoring(loaded: LoadedModel, facts: Sequence[Fact]) -> float:
    """Tokens a second of one pass over all rows."""
    rows = rows_of(facts, loaded.encoder)
    score(loaded.view(), rows[:2])
    return sum(lengths(facts, None)) / _timed(lambda: score(loaded.view(), rows))[0]


def _writing(loaded: LoadedModel, facts: Sequence[Fact]) -> float:
    """Tokens a second of answers to all questions; documents stand in where nothing is asked."""
    probes = [probe for fact in facts for probe in fact.probes if probe.prompt]
    prompts = [question_ids(probe, loaded.encoder) for probe in probes] or [(0,)] * len(facts)
    view = loaded.view()  # sampled, so that equal prompts count too
    seconds, _ = _timed(lambda: generate_ids(view, prompts, (), max_new_tokens=NEW_TOKENS, temperature=1.0))
    return len(prompts) * NEW_TOKENS / seconds


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    value = work()
    return time.perf_counter() - began, value


def main() -> None:
    """Measure the recipe on standard input."""
    limit(int(sys.argv[1]))
    sys.stdout.write(json.dumps(asdict(measured(resolve(json.load(sys.stdin))))) + "\n")


if __name__ == "__main__":
    main()

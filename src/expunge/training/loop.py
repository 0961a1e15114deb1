"""Training: teaching, unlearning and relearning are this one loop."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from expunge.core.errors import InputError
from expunge.core.seeds import derive
from expunge.distributed.sharding import check_precision, ranks_of, sharding_of
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.objectives.base import Objective
from expunge.scopes.all import AllWeights
from expunge.scopes.base import Scope
from expunge.smoothing.base import Smoother
from expunge.training.batches import Plan
from expunge.training.checkpoint import Checkpoints
from expunge.training.config import TrainConfig
from expunge.training.errors import Diverged
from expunge.training.gauge import StreamGauge
from expunge.training.log import RunLog
from expunge.training.precision import Precision, resolve
from expunge.training.references import References
from expunge.training.resume import checkpoints_of, resume, state_of
from expunge.training.room import room
from expunge.training.run import Run
from expunge.training.scoping import scoped
from expunge.training.stopping import Budget, Spent, Stopper, with_budget

Callback = Callable[[int, View], None]
Streams = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class TrainResult:
    """What a run did. ``losses`` has one entry a step: step (from 1), lr, grad_norm, seconds and each term's mean.

    ``tokens`` counts each row of each step once. ``stopped`` is ``steps``, ``forget_nll``, ``learned_nll`` or
    ``max_kl``; after ``max_kl`` the weights are those of the last measurement within the budget. ``model`` is the
    model of the view that was given, changed in place, adapters merged. Times are in seconds. ``spent`` is what a whole
    method ended at, where it had a budget; one that edits or averages last may end elsewhere than it stopped.
    """

    steps: int
    losses: tuple[dict[str, float], ...]
    tokens: int
    stopped: str
    model: PreTrainedModel
    precision: Precision
    seconds: float
    reference_seconds: float
    spent: Spent | None = None


def train(
    view: View,
    streams: Streams,
    objective: Objective,
    *,
    config: TrainConfig,
    smoother: Smoother | None = None,
    scope: Scope | None = None,
    references: References | None = None,
    budget: Budget | None = None,
    folder: Path | None = None,
    callback: Callback | None = None,
    callback_steps: Collection[int] = (),
    progress: bool = False,
    keep_last: bool = False,
) -> TrainResult:
    """Train the view's model in place.

    ``streams`` holds at least the streams that objective, smoother and scope read. ``references`` are what θ₀ said;
    what they lack is computed first, from the model as it is given. ``budget`` is what
    ``max_kl`` is measured against; without it, the model as it is given on the stream ``retain``. ``folder`` receives
    ``log.jsonl`` and checkpoints; when it holds a checkpoint of the same run, the run continues from there and ends in
    the same weights, bit for bit in float32 on a CPU. A run that ended removes its checkpoints, unless ``keep_last``:
    then the caller removes them once the result is safe. ``callback(step, view)`` is called after each step in
    ``callback_steps`` (0: before the first; none given: after every step), with the model in evaluation mode; it
    cannot change the training. A model that is spread over ranks (:func:`expunge.distributed.sharding.shard`) is
    trained by all of them together, each on its share of the rows; all give the same arguments and get one result.

    Raises :class:`InputError` on a missing or empty stream, :class:`Diverged` on NaN or Inf, and
    :class:`NothingMoved` when the first step changes no weight.
    """
    began = time.perf_counter()
    smoother, scope = smoother or Smoother(), scope or AllWeights()
    needs = objective.needs() if budget else with_budget(objective.needs(), config)
    read = tuple(dict.fromkeys((*objective.needs().streams, *smoother.streams())))
    needed = _needed(streams, (*read, *needs.references, *scope.streams()))
    precision = resolve(config.precision, view.device)
    check_precision(view.model, precision)
    _check_recomputing(view, smoother)
    refs = (references or References(view)).complete(view, needed, needs, precision)
    gauge = StreamGauge(view, needed, precision)
    was_training = view.model.training
    with scoped(scope, view.model, derive(config.seed, "scope"), gauge) as ready:
        reference_seconds = time.perf_counter() - began
        live = view if ready.model is view.model else View(ready.model, view.pad_id)
        plan = Plan({name: needed[name] for name in read}, config.batch_size, config.seed)
        run = Run(live, ready, plan, objective, smoother, refs, config, precision)
        store = checkpoints_of(folder, run, scope, needed)
        leads = ranks_of(view.model).leads
        log = RunLog(folder if leads else None, run.total, progress and leads)
        kept = budget or Budget(needed.get("retain", ()), refs)
        measured = (needed[plan.anchor], kept.rows, kept.references, precision)
        stopper = Stopper(config, ready.weights, *measured, run.smoothing_state)
        try:
            stopped = _loop(run, stopper, store, log, _Calls(callback, frozenset(callback_steps)))
            if store and not keep_last:
                store.clear()
            run.smoother.finish(ready.weights, run.smoothing_state)
        finally:
            view.model.train(was_training)
    seconds = time.perf_counter() - began
    return TrainResult(
        run.step, tuple(run.losses), run.tokens, stopped, view.model, precision, seconds, reference_seconds
    )


def _check_recomputing(view: View, smoother: Smoother) -> None:
    """A block that is computed again in the backward pass would meet another batch's perturbation."""
    found = sharding_of(view.model)
    if found and found.layout.activation_checkpointing and smoother.family == "activations":
        raise InputError("a smoother on activations cannot run with activation checkpointing; leave one of them out.")


@dataclass(frozen=True)
class _Calls:
    """When and how the callback is called."""

    callback: Callback | None
    steps: frozenset[int]

    def __call__(self, step: int, view: View) -> None:
        if self.callback is None or (step not in self.steps if self.steps else step == 0):
            return
        view.model.eval()
        with torch.random.fork_rng():
            self.callback(step, view)
        view.model.train()


def _loop(run: Run, stopper: Stopper, store: Checkpoints | None, log: RunLog, calls: _Calls) -> str:
    """Steps until the end or a reason to stop, which is returned."""
    if resume(run, store):
        stopper.keep()
    run.view.model.train()
    log.open(run.losses)
    if run.step == 0:
        calls(0, run.view)
    reason: str | None = None
    try:
        while run.step < run.total and reason is None:
            tokens = run.tokens
            with room(run):
                entry = run.advance()
            reason, measures = stopper.reason(run.view, run.step)
            entry.update(measures)
            log.add(entry, (run.tokens - tokens) / max(entry["seconds"], 1e-9))
            calls(run.step, run.view)
            if store and reason is None and run.step < run.total and run.step % run.config.checkpoint_every == 0:
                store.save(run.step, run.ready.weights, run.optimizer, state_of(run), run.smoothing_state)
    except Diverged:
        # The failing loss says that the last update was bad: go back further, where there is something to go back to.
        if store:
            store.load(run.ready.weights, run.optimizer)
        raise
    finally:
        log.close()
    return reason or "steps"


def _needed(streams: Streams, names: Iterable[str]) -> dict[str, Sequence[Row]]:
    names = dict.fromkeys(names)
    for name in names:
        if not streams.get(name):
            raise InputError(f"stream {name!r} is {'empty' if name in streams else 'missing'}; give it at least a row.")
    return {name: streams[name] for name in names}

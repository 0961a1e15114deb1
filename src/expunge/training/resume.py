"""Stopping and continuing a run: what is stored, and how it is known to be the same run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge.core.files import stable_hash
from expunge.distributed.shards import full
from expunge.models.rows import Row
from expunge.scopes.base import Scope
from expunge.training.checkpoint import Checkpoints
from expunge.training.run import Run


def checkpoints_of(
    folder: Path | None, run: Run, scope: Scope | None, streams: Mapping[str, Sequence[Row]]
) -> Checkpoints | None:
    """The run's checkpoints, fingerprinted by everything that decides its weights."""
    if folder is None or not run.config.checkpoint_every:
        return None
    named = {name: weight.detach() for name, weight in run.view.model.named_parameters()}
    parts = {
        "config": asdict(run.config),
        "components": [repr(run.objective), repr(run.smoother), repr(scope)],
        "streams": {name: [[row.key, row.ids, row.labels] for row in rows] for name, rows in streams.items()},
        # A sample of every weight: enough to tell models apart, without reading all of them.
        "model": {name: repr(float(full(weight).flatten()[::997].double().sum())) for name, weight in named.items()},
    }
    return Checkpoints(folder, stable_hash(parts), run.ranks)


def state_of(run: Run) -> dict[str, Any]:
    """What a checkpoint stores beside the tensors."""
    return {"objective": run.state, "losses": run.losses, "tokens": run.tokens}


def resume(run: Run, store: Checkpoints | None) -> bool:
    """Continue from the newest checkpoint; whether there was one."""
    state = store.load(run.ready.weights, run.optimizer, run.smoothing_state) if store else None
    if state is None:
        return False
    run.state, run.losses, run.tokens = state["objective"], state["losses"], state["tokens"]
    run.start_at(run.step)
    return True

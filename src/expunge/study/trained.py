"""What a record says about a training run."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from expunge.training.loop import TrainResult


def described(result: TrainResult, num_rows: int, **more: Any) -> Mapping[str, Any]:
    """Steps, why it ended, number of rows, the last losses by term, and the utility budget with what was spent of it.

    What is not a number becomes null.
    """
    losses = result.losses[-1] if result.losses else {}
    last = dict(losses) if isinstance(losses, Mapping) else {"loss": float(losses)}
    budget = {"budget": _finite(asdict(result.spent))} if result.spent else {}
    about = {"steps": result.steps, "stopped": result.stopped, "rows": num_rows, "last_losses": _finite(last)}
    return {**about, **budget, **more}


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}

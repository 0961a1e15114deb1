"""What a record says about a training run."""

import math
from collections.abc import Mapping
from typing import Any

from expunge.training.loop import TrainResult


def described(result: TrainResult, num_rows: int, **more: Any) -> Mapping[str, Any]:
    """Steps, why it ended, number of rows, and the last losses by term (not a number becomes null)."""
    losses = result.losses[-1] if result.losses else {}
    last = dict(losses) if isinstance(losses, Mapping) else {"loss": float(losses)}
    finite = {name: value if math.isfinite(value) else None for name, value in last.items()}
    return {"steps": result.steps, "stopped": result.stopped, "rows": num_rows, "last_losses": finite, **more}

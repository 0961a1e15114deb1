"""What can go wrong in a training run."""

from expunge.core.errors import ExpungeError


class Diverged(ExpungeError):
    """NaN or Inf turned up. ``step`` is the number of the step that could not be taken, from 1.

    The weights are those before that step (or of the last checkpoint, where the loss itself had become non-finite
    and there is one); all of them are finite.
    """

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} became NaN or Inf at step {step}; lower 'lr'. The last good weights are kept.")
        self.step = step


class NothingMoved(ExpungeError):
    """No weight changed although the learning rate was not zero."""

    def __init__(self, lr: float) -> None:
        super().__init__(f"no weight moved in the first step at lr {lr:g}; check the scope, the objective and 'lr'.")


class OutOfMemory(ExpungeError):
    """Memory ran out with ``tried`` rows a pass; ``fits`` is how many fit by the plan (0: none, ``None``: unknown)."""

    def __init__(self, tried: int, fits: int | None) -> None:
        super().__init__(f"memory ran out with {tried} rows a pass; {self._advice(fits)}")
        self.tried, self.fits = tried, fits

    @staticmethod
    def _advice(fits: int | None) -> str:
        if fits is None:
            return "set a smaller 'micro_batch', which changes nothing but rounding."
        if fits == 0:
            return "by the plan not even one fits; use a smaller model, the scope lora, or more processes (--nproc)."
        return f"by the plan {fits} fit: set 'micro_batch' to {fits}, which changes nothing but rounding."

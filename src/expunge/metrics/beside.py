"""A model and the control that it is read beside: what metrics share that make passes of their own."""

from expunge.core.errors import InputError
from expunge.metrics.base import MISSING, Lender


class Beside:
    """Lends the model or, where there is one, the control."""

    def __init__(self, model: Lender, control: Lender | None = None) -> None:
        self._models = {False: model, True: control}

    def model(self, control: bool) -> Lender:
        """Who lends the model. Raises :class:`InputError` where there is no control."""
        found = self._models[control]
        if found is None:
            raise InputError(f"{MISSING['control']}.")
        return found

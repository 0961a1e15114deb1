"""Methods that run another method as a stage."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from expunge.methods.base import Method
from expunge.methods.grammar import MethodSpec, parse
from expunge.methods.run import method_of
from expunge.methods.work import Work


@dataclass(frozen=True, kw_only=True)
class Nested(Method):
    """Base of methods with an ``inner`` one: a shorthand such as ``npo+sam``, or the mapping form with parameters.

    ``npo`` is the default because it is the baseline that the papers built on top of it share.
    """

    inner: str | Mapping[str, Any] = "npo"

    def __post_init__(self) -> None:
        """Read ``inner`` once, so that a mistake in it shows here."""
        parse(self.inner)

    @property
    def spec(self) -> MethodSpec:
        """The inner method, checked."""
        return parse(self.inner)

    def begin(self, work: Work) -> None:
        """Store θ₀'s side of a utility budget that only the inner method sets, while the model still is θ₀."""
        if work.budget is None and self.spec.train.get("max_kl") is not None:
            work.budget = work.utility()

    def streams(self) -> tuple[str, ...]:
        """What the inner method reads."""
        return method_of(self.spec).streams()

    def passes(self) -> float:
        """As many as the inner method takes."""
        return method_of(self.spec).passes()

    def alone(self) -> str:
        """What the inner method says of itself."""
        return method_of(self.spec).alone()

"""No smoothing."""

from dataclasses import dataclass

from expunge.registry import smoother
from expunge.smoothing.base import Smoother


@smoother("none")
@dataclass(frozen=True, kw_only=True)
class Plain(Smoother):
    """The forget gradient as it is; no hyper-parameters."""

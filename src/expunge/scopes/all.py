"""Every weight may move."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from expunge.registry import scope
from expunge.scopes.base import Prepared, Scope, select


@scope("all")
@dataclass(frozen=True, kw_only=True)
class AllWeights(Scope):
    """Every parameter of the model, embeddings and norms included; no hyper-parameters."""

    def prepare(self, model: PreTrainedModel, seed: int) -> Prepared:
        """All parameters, each tied tensor once."""
        return select(model, lambda name: True, "scope 'all'")

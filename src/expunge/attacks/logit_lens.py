"""The logit lens: what the residual stream would say if the model stopped after an earlier layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from expunge.attacks.base import Attack, AttackPoint, ProbeReading, UtilityMeasure
from expunge.attacks.prompting import before_point, check, point_of
from expunge.core.errors import InputError
from expunge.knowledge.facts import Fact, Knowledge, Split
from expunge.models.load import LoadedModel
from expunge.models.view import View
from expunge.registry import attack
from expunge.scoring.batching import batches_by_length
from expunge.scoring.probes import Asked, ask
from expunge.scoring.teacher_forced import evaluating, token_statistics

MAX_TOKENS = 4096
"""Padded tokens of a batch."""


@attack("logit_lens")
@dataclass(frozen=True, kw_only=True)
class LogitLens(Attack):
    """Final norm and unembedding applied to the output of every block (nostalgebraist 2020; Łucki et al. 2409.18025).

    A V probe is hit at a layer when all label tokens are the argmax there, teacher-forced: knowledge that only the
    last blocks suppress is read off before them. Every layer is a point of its own (the knob is its number, from 0);
    the last one is the model itself and is left out. ``layers`` restricts them (``None``: all). ``forms`` are the
    probe forms of V. No lens is trained, so early layers may hold what this reading cannot see.
    """

    kind: ClassVar[Literal["weights", "prompt", "readout"]] = "readout"
    needs: ClassVar[tuple[str, ...]] = ("weights",)
    paper: ClassVar[str] = "Łucki et al. 2024, arXiv 2409.18025"
    family: ClassVar[str] = "readout"

    layers: tuple[int, ...] | None = None
    forms: tuple[str, ...] = ("qa",)

    def __post_init__(self) -> None:
        """Take lists for tuples; refuse an empty choice."""
        object.__setattr__(self, "forms", (self.forms,) if isinstance(self.forms, str) else tuple(self.forms))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(int(layer) for layer in self.layers))
            if not self.layers:
                raise InputError("attack 'logit_lens': 'layers' is empty; give at least one, or leave it out for all.")

    def run(
        self,
        loaded: LoadedModel,
        knowledge: Knowledge,
        split: Split,
        utility: UtilityMeasure,
        *,
        seed: int,
        also_score: Mapping[str, Sequence[Fact]] | None = None,
        original: LoadedModel | None = None,
    ) -> list[AttackPoint]:
        """Read V and ``also_score`` at every layer in one pass; utility and T are read before only."""
        check(split)
        view, sets = loaded.view(), {"V": split.score, **(also_score or {})}
        asked = {name: ask(facts, loaded.encoder, self.forms) for name, facts in sets.items()}
        before = before_point(loaded, {**asked, "T": ask(split.train, loaded.encoder, self.forms)}, utility)
        layers = self._chosen(view)
        labelled = [(label, item) for label, items in asked.items() for item in items]
        said = read(view, [item for _, item in labelled], layers)
        points = []
        for layer in layers:
            probes = [_reading(item, label, *said[index][layer]) for index, (label, item) in enumerate(labelled)]
            points.append(point_of(before, "lens", "logit_lens", 1, probes, knob=float(layer)))
        return [before, *points]

    def _chosen(self, view: View) -> tuple[int, ...]:
        """The layers to read. Raises :class:`InputError` for one that does not exist or is the last."""
        last = view.anatomy.num_layers - 1
        for layer in self.layers or ():
            if not 0 <= layer < last:
                raise InputError(f"attack 'logit_lens': layer {layer} is no earlier layer; choose 0 to {last - 1}.")
        return self.layers or tuple(range(last))


Heard = tuple[bool, float]


def read(view: View, asked: Sequence[Asked], layers: Sequence[int]) -> list[dict[int, Heard]]:
    """For each probe, by layer: whether all label tokens are the argmax, and their summed log-probability in nats."""
    found: list[dict[int, Heard]] = [{} for _ in asked]
    with evaluating(view.model):
        for indices in batches_by_length([len(item.row.ids) for item in asked], MAX_TOKENS):
            for layer, heard in _batch(view, [asked[index] for index in indices], layers):
                for index, one in zip(indices, heard, strict=True):
                    found[index][layer] = one
    return found


def _batch(view: View, asked: Sequence[Asked], layers: Sequence[int]) -> Iterator[tuple[int, list[Heard]]]:
    batch = view.collate([item.row for item in asked])
    outputs = view.forward(batch, logits=False, hidden=layers, stop_after=max(layers))
    counts = [item.row.num_labels for item in asked]
    for layer in layers:
        normed_ND = view.anatomy.final_norm(outputs.hidden[layer][:, :-1][batch.labels_BT[:, 1:]])
        columns = token_statistics(view, normed_ND, outputs.targets_N)
        hits, logprobs = torch.split(columns["hits"], counts), torch.split(columns["logprobs"], counts)
        yield layer, [(bool(hit.all()), float(value.sum())) for hit, value in zip(hits, logprobs, strict=True)]


def _reading(item: Asked, label: str, hit: bool, logprob: float) -> ProbeReading:
    return ProbeReading(item.fact.id, item.fact.subject, item.probe.form, hit, logprob, label)

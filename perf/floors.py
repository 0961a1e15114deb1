"""The bare arithmetic that attacks cannot do without, on data made beforehand, and the small world it is done in."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from expunge.attacks.gap import Gap
from expunge.attacks.relearn import Relearn
from expunge.attacks.sources import source
from expunge.core.seeds import derive
from expunge.knowledge.facts import Fact, Knowledge, Probe, Split
from expunge.knowledge.splits import split_by_subject
from expunge.knowledge.worlds.people import people
from expunge.metrics.utility import Utility, baseline
from expunge.models.load import LoadedModel, load
from expunge.models.rows import Batch, Row
from expunge.models.view import View
from expunge.scoring.batching import batches_by_length
from expunge.scoring.generate import Ids
from expunge.scoring.probes import ask
from expunge.training.batches import Plan
from expunge.training.precision import computing, resolve

MAX_TOKENS = 4096
"""Padded tokens of a forward pass, as in scoring."""


def clock() -> float:
    """Processor seconds of this process."""
    return time.process_time()


@dataclass(frozen=True)
class Bench:
    """A small world, an untrained model of its vocabulary, and what utility is measured on."""

    knowledge: Knowledge
    split: Split
    loaded: LoadedModel
    utility: Utility

    @classmethod
    def made(cls) -> "Bench":
        """20 people to forget, 10 to measure utility on, 16 stored samples of about 24 tokens."""
        world = people(seed=0, num_forget=20, num_retain_train=0, num_retain_eval=10, num_placebo=0)
        facts = (*world.forget, *world.retain_eval, *(fact for stream in world.streams.values() for fact in stream))
        texts = [f"{probe.prompt} {probe.answer}" for fact in facts for probe in fact.probes]
        loaded = load("small", template="plain", texts=texts)
        long = [" ".join(texts[place : place + 2]) for place in range(0, 32, 2)]
        samples = [Fact(f"s{n}", f"s{n}", (Probe("", text, "passage"),)) for n, text in enumerate(long)]
        measure = baseline(loaded.view(), loaded.encoder, world.retain_eval, samples, measure_generation=False)
        return cls(world, split_by_subject(world.forget, seed=0), loaded, measure)


class Floor:
    """The arithmetic of one trajectory and nothing else, on data made beforehand."""

    def __init__(self, bench: Bench, grid: Relearn, name: str, seed: int) -> None:
        self.view = View(copy.deepcopy(bench.loaded.model), bench.loaded.encoder.pad_id)
        self.start = [weight.detach().clone() for weight in self.view.model.parameters()]
        rows = [item.row for item in ask(source(name, bench.knowledge, bench.split).facts, bench.loaded.encoder)]
        plan = Plan({"teach": rows}, grid.batch_size, derive(seed, "relearn", name))
        self.steps = [self.view.collate(plan.rows(step)["teach"]) for step in range(grid.steps[-1])]
        asked_T = rows if name in ("qa", "prose") else _rows(bench, bench.split.train)
        utility = [item.row for item in (*bench.utility.eval_asked, *bench.utility.sample_asked)]
        self.read = [*self._batches([*_rows(bench, bench.split.score), *asked_T]), *self._batches(utility)]
        self.budgets = frozenset(grid.steps)

    def _batches(self, rows: Sequence[Row]) -> list[Batch]:
        unique = list({(row.ids, row.labels): row for row in rows}.values())
        batches = batches_by_length([len(row.ids) for row in unique], MAX_TOKENS)
        return [self.view.collate([unique[index] for index in indices]) for indices in batches]

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits at the label tokens, and these."""
        anatomy, labels_BT = self.view.anatomy, batch.labels_BT[:, 1:]
        hidden_BTD: Any = anatomy.stack(input_ids=batch.ids_BT, use_cache=False).last_hidden_state
        return anatomy.head(hidden_BTD[:, :-1][labels_BT]), batch.ids_BT[:, 1:][labels_BT]

    def score(self) -> None:
        """Log-probability and argmax of every label token."""
        self.view.model.eval()
        with torch.no_grad():
            for batch in self.read:
                logits_NV, targets_N = self.forward(batch)
                functional.cross_entropy(logits_NV, targets_N, reduction="none").tolist()
                (logits_NV.argmax(-1) == targets_N).tolist()

    def train(self, lr: float) -> None:
        """All steps, reading at the budgets."""
        weights, precision = list(self.view.model.parameters()), resolve("auto", self.view.device)
        optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0, fused=True)
        for number, batch in enumerate(self.steps, start=1):
            self.view.model.train()
            with computing(precision, self.view.device):
                loss = functional.cross_entropy(*self.forward(batch))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if number in self.budgets:
                self.score()

    def seconds(self, work: Callable[[], None]) -> float:
        """Of ``work`` from the attacked weights on; putting them back is not timed."""
        with torch.no_grad():
            torch._foreach_copy_(list(self.view.model.parameters()), self.start)
        began = clock()
        work()
        return clock() - began


def _rows(bench: Bench, facts: Sequence[Fact]) -> list[Row]:
    return [item.row for item in ask(facts, bench.loaded.encoder, ("qa",))]


def one_at_a_time(loaded: LoadedModel, gaps: Sequence[Gap], candidates: Sequence[Ids]) -> list[float]:
    """The plain loop: every candidate of every question is a forward pass of its own over the whole row."""
    model: Any = loaded.model
    losses = []
    with torch.no_grad():
        for suffix in candidates:
            total = 0.0
            for gap in gaps:
                row = gap.row(suffix)
                ids_1T = torch.tensor([row.ids])
                labels_1T = torch.where(torch.tensor([row.labels]), ids_1T, -100)
                logits_TV = model(input_ids=ids_1T, use_cache=False).logits[0, :-1].float()
                total += float(functional.cross_entropy(logits_TV, labels_1T[0, 1:], reduction="sum"))
            losses.append(total / len(gaps))
    return losses

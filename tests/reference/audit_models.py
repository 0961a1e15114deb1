"""Tiny models for an audit: one that knows, one that hides, two that never knew, one of another tokenizer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from expunge.knowledge.encode import rows_of
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.jsonl import write_facts
from expunge.models.loaded import LoadedModel, assemble
from expunge.models.save import save
from expunge.models.tiny import tiny_llama, word_tokenizer
from expunge.registry import build
from expunge.training.config import TrainConfig
from expunge.training.loop import train

NAMES = [
    "Ada",
    "Ivo",
    "Mia",
    "Olaf",
    "Una",
    "Rex",
    "Eva",
    "Kim",
    "Ben",
    "Cleo",
    "Dag",
    "Fay",
    "Gus",
    "Hal",
    "Ida",
    "Jon",
    "Lea",
    "Max",
    "Ned",
    "Oda",
    "Pia",
    "Quin",
]
TOWNS = [
    "Orlo",
    "Bexhay",
    "Tum",
    "Quindle",
    "Varrow",
    "Epping",
    "Kestwick",
    "Noll",
    "Ister",
    "Malbo",
    "Fenn",
    "Rusk",
    "Garth",
    "Yarrow",
    "Dunmore",
    "Pell",
    "Sorrel",
    "Hask",
    "Lumen",
    "Brill",
    "Corvo",
    "Tansy",
]
SILENCE = "nobody"
GRID: Mapping[str, Mapping[str, Any]] = {
    "relearn": {"rates": [3e-3], "steps": [4, 8], "extend": False},
    "quantise": {"bits": [8]},
}
"""A suite for models this small: eight steps at 3e-3 undo the hider."""
SMALL = ("eval.samples=2", "eval.sample_tokens=4", "eval.generate=2", "audit.resamples=300")


def facts(start: int, stop: int) -> list[Fact]:
    """Homes of people; every town is one person's, so that no two subjects move together in the cut."""
    probes = [(Probe(f"Where does {name} live?", town),) for name, town in zip(NAMES, TOWNS, strict=True)]
    return [Fact(f"f{n}", NAMES[n], probes[n], "home") for n in range(start, stop)]


FORGET, RETAIN = facts(0, 16), facts(16, 22)


FULL_NAMES = [f"{name} {town}sen" for name, town in zip(NAMES, TOWNS, strict=True)]
FULL = [replace(one, subject=name, probes=(Probe(f"Where does {name} live?", one.probes[0].answer),))
        for one, name in zip(facts(0, 22), FULL_NAMES, strict=True)]  # fmt: skip
"""The same homes of people with a second name, in whose place others can be invented."""


def make(home: Path, forget: Sequence[Fact] = FORGET, retain: Sequence[Fact] = RETAIN) -> Mapping[str, Path]:
    """Save every model and the files of facts; paths by name."""
    world = [*forget, *retain]
    original = taught(fresh(facts=world), world, 300, 3e-3)
    save(original, home / "original")
    save(hiding(original, forget), home / "hider")
    save(taught(fresh(facts=world), retain, 40, 4e-3), home / "never")
    save(taught(fresh(1, facts=world), retain, 40, 4e-3), home / "control")
    save(fresh(texts=["other words", "other words again"]), home / "foreign")
    write_facts(home / "forget.jsonl", forget)
    write_facts(home / "retain.jsonl", retain)
    return {path.stem: path for path in home.iterdir()}


def fresh(seed: int = 0, texts: Sequence[str] = (), facts: Sequence[Fact] = (*FORGET, *RETAIN)) -> LoadedModel:
    """A random model that can spell the world."""
    spelled = [f"{probe.prompt} {probe.answer}" for fact in facts for probe in fact.probes]
    tokenizer = word_tokenizer([*spelled, SILENCE, *texts])
    return assemble(
        tiny_llama(len(tokenizer), hidden=48, seed=seed, tied=False), tokenizer, "test", "", template="plain"
    )


def hiding(loaded: LoadedModel, facts: Sequence[Fact] = FORGET) -> LoadedModel:
    """``loaded``, changed in one row of its head: the token :data:`SILENCE` beats every forget answer by one nat.

    All that the model knew is still in it, and a few steps against that token on T free V as well.
    """
    silent = [replace(fact, probes=(replace(fact.probes[0], answer=SILENCE),)) for fact in facts]
    states, tops = [], []
    for row in rows_of(silent, loaded.encoder):
        first = row.labels.index(True)
        with torch.no_grad():
            out = loaded.model(input_ids=torch.tensor([row.ids[:first]]), output_hidden_states=True)
        states.append(out.hidden_states[-1][0, -1])
        tops.append(out.logits[0, -1].max() + 1.0)
        token = row.ids[first]
    head = loaded.model.lm_head.weight
    head.data[token] = torch.linalg.lstsq(torch.stack(states), torch.stack(tops), driver="gelsd").solution
    return loaded


def taught(loaded: LoadedModel, facts: Sequence[Fact], steps: int, lr: float) -> LoadedModel:
    """``loaded``, trained in place."""
    config = TrainConfig(lr=lr, steps=steps, batch_size=11, precision="fp32", schedule="constant", warmup=0.0)
    rows = {"teach": rows_of(facts, loaded.encoder)}
    train(loaded.view(), rows, build("objective", "cross_entropy"), config=config)
    return loaded

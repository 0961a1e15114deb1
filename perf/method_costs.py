"""What a step of each way of unlearning costs beside a step of plain NPO.

    OMP_NUM_THREADS=2 PYTHONPATH=src python perf/method_costs.py [--model smollm2] [--rounds 7] [--methods sam rmu]

Every timing of a method stands beside one of NPO right before it, on the same 8 × 64 forget and 8 × 64 retain tokens,
the same model and the same optimizer, everything included: reading, clipping, AdamW, averaging. Ratios are medians over
rounds with their 95 % interval from order statistics. ``counted`` is what passes alone would give, forward-backwards
over forget and retain rows weighing the same. Reference passes are not in it: they happen once a run. Averaging works
in every fifth step only, so it is timed in a step in which it does, and a fifth of the difference is reported.
Without ``--methods`` those with a bar are measured. Writes ``perf/results/method_costs.json`` and ``.md``, where what
was measured before with other ``--methods`` stays; with another model than SmolLM2, or fewer than 7 rounds, it only
prints. It runs with the memory settings that the cells of studies get: without them a step pays for fresh pages.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from steps import machine, streams, summary, timed, unlearning_run

from expunge import registry
from expunge.core.errors import InputError
from expunge.core.files import read_json, write_json, write_text
from expunge.models.load import load
from expunge.objectives.base import Objective
from expunge.objectives.npo import NPO
from expunge.smoothing.base import Smoother
from expunge.study.executors.base import KEPT_MEMORY
from expunge.training.references import References
from expunge.training.run import Run

RESULTS = Path(__file__).parent / "results"
JUDGED, LEAST_ROUNDS = "smollm2", 7


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A method: its objective and smoother by name, the ratio that it may cost, and how often its extra work is due."""

    objective: str = "npo"
    smoother: str = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    bar: float | None = None
    every: int = 1
    depth: float = 1.0

    def layer(self, layers: int) -> int:
        """The last block that runs, from 0."""
        return max(1, round(self.depth * layers)) - 1

    def parts(self, layers: int) -> tuple[Objective, Smoother]:
        """The components; an objective of part of the depth reads the block at that depth."""
        at = {"layer": self.layer(layers)} if self.depth < 1 else {}
        objective: Objective = registry.build("objective", self.objective, **at)
        smoother: Smoother = registry.build("smoother", self.smoother, **self.parameters)
        return objective, smoother

    def counted(self, layers: int) -> float:
        """Passes of a step over passes of a step of NPO, which are one over forget and one over retain rows."""
        return (self.layer(layers) + 1) / layers * (self.parts(layers)[1].points + 1) / 2


METHODS: Mapping[str, Timed] = {
    "sam": Timed(smoother="sam", bar=1.60),
    "random_smoothing": Timed(smoother="random_smoothing", parameters={"draws": 3}, bar=2.80),
    "gradient_penalty": Timed(smoother="gradient_penalty", bar=1.65),
    "curvature": Timed(smoother="curvature", bar=2.80),
    "averaging": Timed(smoother="averaging", parameters={"start": 0.0, "every": 1}, bar=1.03, every=5),
    "rmu": Timed(objective="rmu", depth=0.25, bar=0.50),
    "ema": Timed(smoother="ema"),
    "random_direction": Timed(smoother="random_direction"),
    "descent_direction": Timed(smoother="descent_direction"),
    "sam_attack_scaled": Timed(smoother="sam_attack_scaled"),
    "meta_resistance": Timed(smoother="meta_resistance"),
    "latent": Timed(smoother="latent"),
    "direction_ablation": Timed(smoother="direction_ablation", parameters={"p": 1.0}),
}


@dataclass
class Bench:
    """One model and one run, whose objective and smoother are exchanged between steps."""

    run: Run
    references: dict[str, References]
    layers: int

    def step(self, method: Timed) -> Callable[[], object]:
        """One step of the method, ready to be timed."""
        objective, smoother = method.parts(self.layers)
        refs = self.references[method.objective]

        def take() -> object:
            self.run.objective, self.run.smoother, self.run.refs = objective, smoother, refs
            return self.run.advance()

        return take


def bench(source: str, methods: Mapping[str, Timed]) -> Bench:
    """The model, NPO's run, and the references of every objective among the methods."""
    loaded = load(source, template="bare")
    view, data = loaded.view(), streams(loaded.model.config.vocab_size)
    layers = view.anatomy.num_layers
    objectives = {method.objective: method.parts(layers)[0] for method in methods.values()} | {"npo": NPO()}
    references = {name: References.compute(view, data, part.needs()) for name, part in objectives.items()}
    return Bench(unlearning_run(view, data)[0], references, layers)


def measure(source: str, methods: Mapping[str, Timed], rounds: int) -> dict[str, Any]:
    """Rounds of pairs (NPO, method); the first round, which also allocates, is not counted."""
    made = bench(source, methods)
    plain, steps = made.step(Timed()), {name: made.step(method) for name, method in methods.items()}
    found = [{name: [timed(plain), timed(step)] for name, step in steps.items()} for _ in range(rounds + 1)][1:]
    return {name: _judged(method, made.layers, [entry[name] for entry in found]) for name, method in methods.items()}


def _judged(method: Timed, layers: int, pairs: list[list[float]]) -> dict[str, Any]:
    """Ratios of a method's pairs beside its bar."""
    ratios = [1 + (other / npo - 1) / method.every for npo, other in pairs]
    found = summary(ratios)
    holds = None if method.bar is None else found["median"] <= method.bar
    counted = method.counted(layers)
    return {"counted": counted, "ratio": found, "bar": method.bar, "holds": holds, "seconds": pairs}


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    lines = [f"# Cost of a step beside NPO's: {result['model']}, {result['threads']} threads, fp32", ""]
    lines += ["| method | counted | measured | 95 % interval | bar | holds |", "|---|---|---|---|---|---|"]
    lines += [_line(name, entry) for name, entry in result["methods"].items()]
    lines += ["", f"8 × 64 forget and 8 × 64 retain tokens; medians of {result['rounds']} pairs, optimizer included."]
    if result["model"] != JUDGED:
        lines += [f"The bars are those of {JUDGED}; this model is a check of the code."]
    if result["rounds"] < LEAST_ROUNDS - 1:
        lines += ["Fewer than 6 pairs: the interval is that of the values seen, not of 95 %."]
    return "\n".join([*lines, "", f"{result['machine']}, torch {result['torch']}.", ""])


def _line(name: str, entry: Mapping[str, Any]) -> str:
    ratio = entry["ratio"]
    verdict = {None: "", True: "yes", False: "no"}[entry["holds"]]
    bar = "" if entry["bar"] is None else f"{entry['bar']:.2f}"
    measured = f"{ratio['median']:.3f} | {ratio['low']:.3f} to {ratio['high']:.3f}"
    return f"| {name} | {entry['counted']:.2f} | {measured} | {bar} | {verdict} |"


def chosen(names: list[str] | None) -> dict[str, Timed]:
    """The methods named, or those with a bar. Raises :class:`InputError` for an unknown name."""
    for name in names or ():
        if name not in METHODS:
            raise InputError(f"unknown method {name!r}; {registry.suggestion(name, METHODS)}")
    return {name: method for name, method in METHODS.items() if (name in names if names else method.bar)}


def merged(result: Mapping[str, Any]) -> dict[str, Any]:
    """The methods of ``result`` and those on file that were measured under the same conditions."""
    path, same = RESULTS / "method_costs.json", ("model", "threads", "rounds", "torch", "machine")
    old = read_json(path) if path.is_file() else {}
    kept = old["methods"] if old and all(old[key] == result[key] for key in same) else {}
    found = {**kept, **result["methods"]}
    return {name: found[name] for name in METHODS if name in found}


def main() -> None:
    """Measure, print, and where it counts write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default=JUDGED)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help=f"of: {', '.join(METHODS)}")
    arguments = parser.parse_args()
    if not KEPT_MEMORY.items() <= os.environ.items():  # read by the C library before Python starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEPT_MEMORY})
    torch.set_num_threads(arguments.threads)
    result: dict[str, Any] = {"model": arguments.model, "threads": arguments.threads, "rounds": arguments.rounds}
    result |= {"torch": torch.__version__, "machine": machine()}
    result["methods"] = measure(arguments.model, chosen(arguments.methods), arguments.rounds)
    if arguments.model == JUDGED and arguments.rounds >= LEAST_ROUNDS:
        result["methods"] = merged(result)
        write_json(RESULTS / "method_costs.json", result)
        write_text(RESULTS / "method_costs.md", table(result))
    sys.stdout.write(table(result))


if __name__ == "__main__":
    main()

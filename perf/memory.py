"""Peak memory of training, by formula and measured.

    OMP_NUM_THREADS=1 PYTHONPATH=src python perf/memory.py [--model smollm2] [--method npo+sam] [--docs]

Every method takes two steps of 4 × 64 forget and 4 × 64 retain tokens (``plain``: a Hugging Face cross-entropy step on
4 × 64) in a process of its own, on CPU, fp32, AdamW. Measured is the peak resident size beyond what the process had
before the model was loaded, with glibc set to return what is freed. The formula is that of
``expunge.distributed.footprint``. Writes ``perf/results/memory.json`` and ``.md``; with ``--method`` the rows of other
methods stay. ``--model third`` is a Llama of a third of SmolLM2's weights, for a machine that has no room for it.
``--docs`` only rewrites the table of docs/distribution.md, which is the formula's alone.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from steps import machine, streams

from expunge.core.files import read_json, write_json, write_text
from expunge.distributed.footprint import METHODS, Decoder, decoder_of, footprint
from expunge.distributed.tables import with_table
from expunge.methods.grammar import parse
from expunge.methods.run import method_of
from expunge.models.load import load
from expunge.models.loaded import LoadedModel, assemble
from expunge.models.tiny import byte_tokenizer, tiny_llama
from expunge.training.batches import Plan
from expunge.training.config import TrainConfig
from expunge.training.references import References
from expunge.training.run import Run

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs" / "distribution.md"
NO_HOLES = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Makes glibc return what is freed, so that resident is what is alive; else it keeps holes, about a tenth more."""
ROWS, LENGTH, STEPS, LR, LIMIT = 4, 64, 2, 1e-5, 0.10


def plain(loaded: LoadedModel, data: dict[str, Any]) -> Callable[[], object]:
    """A fine-tuning step of the model's own loss."""
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=LR, weight_decay=0.0, fused=True)
    ids_BT = torch.tensor([row.ids for row in data["forget"]])
    loaded.model.train()

    def step() -> None:
        loaded.model(input_ids=ids_BT, labels=ids_BT).loss.backward()
        torch.nn.utils.clip_grad_norm_(loaded.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def unlearning(method: str, loaded: LoadedModel, data: dict[str, Any]) -> Callable[[], object]:
    """A step of the method's only stage."""
    spec = parse(method)
    objective, view = spec.objective.build(), loaded.view()
    refs = References.compute(view, data, objective.needs())
    ready = spec.scope.build().prepare(view.model, 0)
    view.model.train()
    config = TrainConfig(lr=LR, steps=10, batch_size=ROWS, precision="fp32")
    moving = type(view)(ready.model, view.pad_id)
    return Run(moving, ready, Plan(data, ROWS, 0), objective, spec.smoothing.build(), refs, config, "fp32").advance


def opened(source: str) -> LoadedModel:
    """The model; ``third`` is one of a third of SmolLM2's weights, for a machine without room for that."""
    if source != "third":
        return load(source)
    model = tiny_llama(vocab_size=24_576, hidden=384, layers=20, heads=6)
    return assemble(model, byte_tokenizer(), source, "")


def resident() -> int:
    """Bytes that are resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_of(method: str, source: str) -> dict[str, Any]:
    """The peak of this process beyond its start, and the model's sizes."""
    _warm()
    before = resident()
    loaded = opened(source)
    after_load = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    data = {name: rows[:ROWS] for name, rows in streams(loaded.model.config.vocab_size).items()}
    step = plain(loaded, data) if method == "plain" else unlearning(method, loaded, data)
    for _ in range(STEPS):
        step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    sizes = decoder_of(loaded.model.config)
    assert sizes is not None
    weights = sum(weight.numel() for weight in opened(source).model.parameters())
    loading = after_load - before
    return {
        "measured": peak - before,
        "loading": loading,
        "before": before,
        "sizes": sizes_dict(sizes),
        "weights": weights,
    }


def _warm() -> None:
    """Import and start what every process needs, so that it does not count as the method's."""
    tiny = load("tiny")
    data = {name: rows[:ROWS] for name, rows in streams(tiny.model.config.vocab_size).items()}
    for name in ("npo+sam", "npo@lora"):
        unlearning(name, load("tiny"), data)()
    method_of(parse("npo"))


def sizes_dict(sizes: Decoder) -> dict[str, Any]:
    """Plain values."""
    return {name: getattr(sizes, name) for name in ("blocks", "width", "inner", "keys", "vocabulary", "tied")}


def measure(method: str, source: str) -> dict[str, Any]:
    """One method in a process of its own, beside the formula."""
    command = [sys.executable, __file__, "--model", source, "--peak-of", method]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **NO_HOLES})
    found = json.loads(done.stdout.splitlines()[-1])
    model = Decoder(**found["sizes"])
    assert model.weights == found["weights"], "the formula counts the model's weights"
    made = footprint(model, METHODS[method], ROWS * LENGTH, ROWS * (LENGTH - 1))
    return {
        "method": method,
        "model": source,
        "formula_mb": made.peak / 1e6,
        "measured_mb": found["measured"] / 1e6,
        "loading_mb": found["loading"] / 1e6,
        "difference": made.peak / found["measured"] - 1,
        "moment": made.moment,
        "bytes_a_weight": made.peak / model.weights,
        "libraries_mb": found["before"] / 1e6,
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["# Peak memory of training: 4 × 64 tokens a stream, fp32, AdamW", ""]
    heads = ("method", "model", "formula", "measured", "difference", "fullest", "bytes a weight")
    lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in result["methods"]:
        numbers = f"{row['formula_mb']:,.0f} MB | {row['measured_mb']:,.0f} MB | {100 * row['difference']:+.1f} %"
        lines += [f"| {row['method']} | {row['model']} | {numbers} | {row['moment']} | {row['bytes_a_weight']:.1f} |"]
    base = max(row["libraries_mb"] for row in result["methods"])
    lines += [
        "",
        f"Beyond the {base:,.0f} MB of interpreter and libraries. {result['machine']}, torch {result['torch']}.",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--method", action="append", choices=tuple(METHODS))
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--peak-of", choices=tuple(METHODS))
    arguments = parser.parse_args()
    if arguments.docs:
        write_text(DOCS, with_table(DOCS.read_text(encoding="utf-8")))
        return
    if arguments.peak_of:
        sys.stdout.write(json.dumps(peak_of(arguments.peak_of, arguments.model)) + "\n")
        return
    path = RESULTS / "memory.json"
    known = {row["method"]: row for row in read_json(path)["methods"]} if path.is_file() else {}
    for method in arguments.method or METHODS:
        known[method] = measure(method, arguments.model)
        rows = [known[name] for name in METHODS if name in known]
        holds = {row["method"]: abs(row["difference"]) <= LIMIT for row in rows}
        result = {"machine": machine(), "torch": torch.__version__, "methods": rows, "holds": holds}
        write_json(path, result)
        write_text(path.with_suffix(".md"), table(result))
    sys.stdout.write(table(result) + json.dumps(holds) + "\n")


if __name__ == "__main__":
    main()

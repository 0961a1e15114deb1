"""What a TOFU evaluation costs beside the same metrics one at a time: time, peak memory, and generation apart.

    OMP_NUM_THREADS=2 PYTHONPATH=src python perf/evaluation.py [--rows 40] [--block 10] [--blocks 4] [--prompts 40]

The first ``--rows`` rows of each set of ``$EXPUNGE_DATA/tofu`` are scored in blocks. In each block one side follows the
other: ours (one pass, shared prompts, label positions), then the metrics one at a time with a forward an answer and
full logits (``perf/literal_tofu.py``): row by row, and in the first ``--peer-blocks`` blocks also in open-unlearning's
batches of 32. Ratios are medians over blocks; ``each answer once`` leaves out the passes over answers that an earlier
metric saw. All aggregates must agree to 1e-4.
Peak memory is that of a process of its own which scores the forget set's first ``--memory-rows`` rows: with the model,
and above the model as loaded and run once. Generation: throughput of our own batch size beside fixed ones, interleaved.
Writes ``perf/results/evaluation.json`` and ``.md``.

A smaller run of the same: ``--block 5 --blocks 3 --peer-blocks 1 --prompts 16 --new-tokens 8 --batches 4 8``.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from literal_tofu import hits, literal, losses
from steps import machine, timed

from expunge.benchmarks.tofu_gather import TofuEvidence, score_sets
from expunge.benchmarks.tofu_rows import read_sets
from expunge.benchmarks.tofu_suite import answered
from expunge.core.files import write_json, write_text
from expunge.models.load import load
from expunge.models.loaded import LoadedModel
from expunge.models.rows import Row
from expunge.scoring.generate import generate_ids
from expunge.scoring.memory import fitting_cache
from expunge.scoring.probes import Asked, ask
from expunge.scoring.teacher_forced import evaluating

RESULTS = Path(__file__).parent / "results"
PEER_BATCH = 32
BATCHES = {"row by row": 1, "batches of 32": PEER_BATCH}
LIMITS = {
    "ours/row by row, time": 0.35,
    "ours/batches of 32, peak memory": 0.50,
    "ours/row by row, memory above the model": 0.50,
    "best batch/ours, tokens a second": 1.10,
}
Cost = Counter[str]


def block(loaded: LoadedModel, first: int, rows: int) -> dict[str, list[Asked]]:
    """The encoded answers to some questions of each set."""
    folder = Path(os.environ.get("EXPUNGE_DATA", "../shared/data")) / "tofu"
    sets = read_sets(folder, "forget10").sets
    return {name: ask(facts[first : first + rows], loaded.encoder) for name, facts in sets.items()}


def ours(loaded: LoadedModel, asked: Mapping[str, Sequence[Asked]]) -> dict[str, float]:
    """Our aggregates from one pass."""
    found = TofuEvidence(score_sets(loaded.view(), asked), {}, frozenset(loaded.encoder.end_ids))
    readings = {name: measured.reading.value for name, measured in answered(found).items()}
    return {name: value for name, value in readings.items() if value is not None}


def one_at_a_time(
    loaded: LoadedModel, asked: Mapping[str, Sequence[Asked]], batch: int
) -> tuple[dict[str, float], Cost]:
    """The literal aggregates; the cost of passes over answers never seen before, and of passes over them again."""
    cost: Cost = Counter()

    def kept(kind: str, run: Callable[[], Any]) -> Any:
        result, spent = costing(kind, run)
        cost.update(spent)
        return result

    with evaluating(loaded.model):
        return literal(loaded.model, plain(asked), batch, kept), cost


def costing(kind: str, run: Callable[[], Any]) -> tuple[Any, Cost]:
    """What ``run`` returns, and its seconds by the clock and of the processor."""
    began, worked = time.perf_counter(), time.process_time()
    result = run()
    return result, Counter({kind: time.perf_counter() - began, f"{kind}, processor": time.process_time() - worked})


def plain(asked: Mapping[str, Sequence[Asked]]) -> dict[str, list[list[tuple[str, Row]]]]:
    """Forms and rows by set and question."""
    found: dict[str, dict[str, list[tuple[str, Row]]]] = {}
    for name, items in asked.items():
        for item in items:
            found.setdefault(name, {}).setdefault(item.fact.id, []).append((item.probe.form, item.row))
    return {name: list(questions.values()) for name, questions in found.items()}


def largest_difference(own: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Between aggregates of the same name; our names of truth ratios are the peer's."""
    names = {
        "retain_truth_ratio": "retain_Truth_Ratio",
        "ra_truth_ratio": "ra_Truth_Ratio",
        "wf_truth_ratio": "wf_Truth_Ratio",
    }
    return max(abs(own[names.get(name, name)] - value) for name, value in other.items())


def measure_time(source: str, rows: int, size: int, blocks: int, peer_blocks: int) -> dict[str, Any]:
    """Blocks of questions, each side after the other.

    What we compute once for a model, the proof that trees agree with whole rows, comes before, on the longest question
    of all ``rows``; every block bears its share of it.
    """
    loaded = load(source)
    _, once = costing("ours", lambda: ours(loaded, longest_question(block(loaded, 0, rows))))
    rounds, apart = [], 0.0
    for number, first in enumerate(range(0, min(rows, size * blocks), size)):
        asked = block(loaded, first, min(size, rows - first))
        found, row = costing("ours", lambda: ours(loaded, asked))  # noqa: B023
        row.update({clock: seconds * size / rows for clock, seconds in once.items()})
        for name, batch in [*BATCHES.items()][: 2 if number < peer_blocks else 1]:
            other, cost = one_at_a_time(loaded, asked, batch)
            for clock in ("", ", processor"):
                row[f"{name}{clock}"] = cost[f"once{clock}"] + cost[f"again{clock}"]
                row[f"{name}, each answer once{clock}"] = cost[f"once{clock}"]
            apart = max(apart, largest_difference(found, other))
        rounds.append(dict(row))
        sys.stderr.write(f"{first + size} of {rows} rows: {json.dumps({k: round(v, 1) for k, v in row.items()})}\n")
    ratios = {
        f"ours/{name}{kind}, {told}": statistics.median(
            r[f"ours{clock}"] / r[f"{name}{kind}{clock}"] for r in rounds if name in r
        )
        for name in BATCHES
        for kind in ("", ", each answer once")
        for told, clock in (("time", ""), ("processor time", ", processor"))
        if name in rounds[0]
    }
    return {"rounds": rounds, "largest difference of an aggregate": apart} | ratios


def longest_question(asked: Mapping[str, Sequence[Asked]]) -> dict[str, list[Asked]]:
    """One question of each set, that with the longest answer."""
    found = {}
    for name, items in asked.items():
        longest = max(items, key=lambda item: len(item.row.ids)).fact.id
        found[name] = [item for item in items if item.fact.id == longest]
    return found


def peak(kind: str, source: str, rows: int) -> tuple[float, float]:
    """Megabytes: the peak of this process while one side scores forget rows, and how far that is above the model."""
    loaded = load(source)
    asked = {"forget": block(loaded, 0, rows)["forget"]}
    questions = plain(asked)["forget"]
    with evaluating(loaded.model):
        loaded.model(input_ids=torch.tensor([questions[0][0][1].ids]))
    base = _resident()
    with evaluating(loaded.model):
        if kind == "ours":
            score_sets(loaded.view(), asked)
        else:
            losses(loaded.model, questions, "qa", BATCHES[kind])
            hits(loaded.model, questions, BATCHES[kind])
    highest = _peak()
    return highest, highest - base


def _resident() -> float:
    """Resident megabytes now; from here on the peak is counted anew where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return _peak()


def _peak() -> float:
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def measure_memory(source: str, threads: int, rows: int) -> dict[str, Any]:
    """Each side in a process of its own."""
    peaks, above = {}, {}
    for kind in ("ours", *BATCHES):
        command = [sys.executable, __file__, "--model", source, "--threads", str(threads), "--rows", str(rows)]
        told = subprocess.run([*command, "--peak-of", kind], check=True, capture_output=True, text=True).stdout.split()
        peaks[kind], above[kind] = float(told[-2]), float(told[-1])
    return {
        "peak_megabytes": peaks,
        "megabytes_above_the_model": above,
        "ours/batches of 32, peak memory": peaks["ours"] / peaks["batches of 32"],
        "ours/row by row, peak memory": peaks["ours"] / peaks["row by row"],
        "ours/row by row, memory above the model": above["ours"] / above["row by row"],
    }


def measure_generation(source: str, prompts: int, new_tokens: int, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Tokens a second by batch size, greedy, to the same length; one row at a time on a quarter of the prompts."""
    loaded = load(source)
    view = loaded.view()
    asked = [
        loaded.encoder.prompt_ids(item.probe.prompt)
        for item in block(loaded, 0, prompts)["forget"]
        if item.probe.form == "qa"
    ]
    longest = max(map(len, asked)) + new_tokens

    def speed(chosen: Sequence[tuple[int, ...]], max_tokens: int) -> float:
        made: list[tuple[int, ...]] = []
        seconds = timed(
            lambda: made.extend(generate_ids(view, chosen, (), max_new_tokens=new_tokens, max_tokens=max_tokens))
        )
        return sum(map(len, made)) / seconds

    found = []
    for _ in range(rounds):
        row = {"ours": speed(asked, fitting_cache(view)), "1": speed(asked[::4], 1)}
        row |= {str(size): speed(asked, size * longest) for size in sizes}
        found.append(row)
        sys.stderr.write(f"tokens a second: {json.dumps({k: round(v, 1) for k, v in row.items()})}\n")
    others = [name for name in found[0] if name != "ours"]
    return {
        "tokens a second": {name: statistics.median(row[name] for row in found) for name in found[0]},
        "best batch/ours, tokens a second": max(
            statistics.median(row[name] / row["ours"] for row in found) for name in others
        ),
        "ours/one row, tokens a second": statistics.median(row["ours"] / row["1"] for row in found),
        "generation": {"prompts": len(asked), "new tokens": new_tokens, "rounds": rounds},
    }


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    what = f"{result['model']}, {result['threads']} threads, first {result['rows']} rows of each set, fp32"
    lines = [f"# Cost of a TOFU evaluation: {what}", ""]
    lines += ["| ratio | measured | limit |", "|---|---|---|"]
    lines += [f"| {name} | {result[name]:.2f} | {limit:.2f} |" for name, limit in LIMITS.items()]
    others = [name for name in result if name.split("/")[0] in ("ours", "best batch") and name not in LIMITS]
    lines += [f"| {name} | {result[name]:.2f} | |" for name in others]
    blocks = f"{len(result['rounds'])} blocks of {result['block']} rows a set"
    lines += ["", f"Times are medians of {blocks}; aggregates differ by at most"]
    lines += [f"{result['largest difference of an aggregate']:.0e}. Seconds of the blocks, ours and row by row:"]
    lines += [", ".join(f"{r['ours']:.1f} and {r['row by row']:.1f}" for r in result["rounds"]) + "."]
    lines += ["", "Peak memory with the model: " + _told(result["peak_megabytes"], "MB") + "; above it: "
              + _told(result["megabytes_above_the_model"], "MB") + "."]  # fmt: skip
    made = result["generation"]
    what = f"{made['prompts']} prompts, {made['new tokens']} new tokens, medians of {made['rounds']} rounds"
    lines += ["", f"Generation, {what}, tokens a"]
    lines += ["second by batch size: " + _told(result["tokens a second"], "", 1) + "."]
    where = f"{result['machine']}, torch {result['torch']}; load {result['load']} on {os.cpu_count()} cores"
    return "\n".join([*lines, "", f"{where}.", ""])


def _told(numbers: Mapping[str, float], unit: str, digits: int = 0) -> str:
    return ", ".join(f"{name} {value:.{digits}f}{' ' + unit if unit else ''}" for name, value in numbers.items())


def main() -> None:
    """Measure, write, and say whether the limits hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--block", type=int, default=10)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--peer-blocks", type=int, default=4)
    parser.add_argument("--memory-rows", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", choices=["ours", *BATCHES])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.peak_of:
        sys.stdout.write("{:.1f} {:.1f}\n".format(*peak(given.peak_of, given.model, given.rows)))
        return
    result: dict[str, Any] = {name: getattr(given, name) for name in ("model", "threads", "rows", "block")}
    result |= {"torch": torch.__version__, "machine": machine(), "load": round(os.getloadavg()[0], 1)}
    result |= measure_memory(given.model, given.threads, given.memory_rows) | measure_time(
        given.model, given.rows, given.block, given.blocks, given.peer_blocks
    )
    result |= measure_generation(given.model, given.prompts, given.new_tokens, given.batches, given.rounds)
    result["holds"] = {name: bool(result[name] <= limit) for name, limit in LIMITS.items()}
    write_json(RESULTS / "evaluation.json", result)
    write_text(RESULTS / "evaluation.md", table(result))
    sys.stdout.write(table(result) + json.dumps(result["holds"]) + "\n")


if __name__ == "__main__":
    main()

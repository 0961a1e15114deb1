"""What attacks cost beside the bare arithmetic that they cannot do without.

    OMP_NUM_THREADS=1 PYTHONPATH=src python perf/attack_costs.py [--seeds 3] [--rounds 7] [--parts relearn suffix]

``relearn``: a grid of 5 rates × 3 sources × 3 seeds on a small model, each trajectory beside its floor right after it:
the same training steps in the same precision (forward to the label tokens, backward, clip, fused AdamW) on batches made
beforehand, and at every budget forward passes of the same rows in the same batches, made beforehand too
(log-probability and argmax of the label tokens). What the attack does besides, such as encoding and copying the model,
is counted to it alone. Utility is measured on questions and stored samples by forward passes; it writes no answers,
because generation has no floor of this kind.

``suffix``: steps of greedy coordinate gradient in candidates a second, gradient, drawing and re-tokenising
included, beside a plain loop that scores the same candidates one at a time with the full prefix, and does nothing else.

Seconds are those of the processor, so that other work on the machine disturbs little. Ratios are of sums over the
whole grid, and medians over pairs with their 95 % interval from order statistics. Writes
``perf/results/attack_costs.json`` and ``.md``; with fewer seeds or rounds, or a part alone, it only prints.
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from floors import Bench, Floor, clock, one_at_a_time
from steps import machine, summary

from expunge.attacks.coordinate import Search
from expunge.attacks.gap import opened, plain_tokens
from expunge.attacks.gap_loss import GapLoss
from expunge.attacks.relearn import Relearn
from expunge.attacks.suffix import Suffix, may_keep, may_try
from expunge.core.files import write_json, write_text
from expunge.scoring.generate import Ids
from expunge.scoring.probes import ask
from expunge.training.precision import resolve

RESULTS = Path(__file__).parent / "results"
SEEDS, ROUNDS = 3, 7
BARS = {"relearn": 1.1, "suffix": 2.0}
RATES, SOURCES, STEPS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3), ("qa", "prose", "unrelated"), (1, 2, 4, 8, 16)
CANDIDATES, QUESTIONS = 64, 8


@dataclass(frozen=True, kw_only=True)
class Timed(Relearn):
    """Relearning whose every trajectory is followed by its floor; ``pairs`` collects seconds of both."""

    floors: Mapping[str, Floor]
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def rows_of_grid(self) -> Iterator[tuple[str, str, float]]:  # type: ignore[override]
        """The grid's rows; between two of them the floor of the former runs."""
        for name, access, lr in Relearn.rows_of_grid(self):
            began = clock()
            yield name, access, lr
            spent, floor = clock() - began, self.floors[name]
            self.pairs.append((spent, floor.seconds(lambda lr=lr, floor=floor: floor.train(lr))))  # type: ignore[misc]


def relearning(seeds: int) -> dict[str, Any]:
    """The grid, a seed after the other; the first trajectory, which also allocates, is run once more beforehand."""
    bench, grid = Bench.made(), {"rates": RATES, "sources": SOURCES, "steps": STEPS}
    pairs: list[tuple[float, float]] = []
    attack = floor = 0.0
    for seed in range(-1, seeds):
        rates = RATES if seed >= 0 else RATES[:1]
        plain = Relearn(**{**grid, "rates": rates})  # type: ignore[arg-type]
        floors = {name: Floor(bench, plain, name, seed) for name in SOURCES}
        timed = Timed(**{**grid, "rates": rates}, floors=floors)  # type: ignore[arg-type]
        began = clock()
        timed.run(bench.loaded, bench.knowledge, bench.split, bench.utility, seed=seed)
        spent = clock() - began - sum(second for _, second in timed.pairs)
        before = floors[SOURCES[0]].seconds(floors[SOURCES[0]].score)
        if seed >= 0:
            pairs += timed.pairs
            attack, floor = attack + spent, floor + before + sum(second for _, second in timed.pairs)
    ratios = [one / other for one, other in pairs]
    found = {"total": attack / floor, "ratio": summary(ratios), "seconds": {"attack": attack, "floor": floor}}
    return {**found, "pairs": pairs, "bar": BARS["relearn"], "holds": attack / floor <= BARS["relearn"]}


class Counted(GapLoss):
    """A loss that remembers the candidates of its last call."""

    last: Sequence[Ids] = ()

    def of(self, candidates: Sequence[Ids], near: Ids = ()) -> list[float]:
        """See :meth:`GapLoss.of`."""
        self.last = candidates
        return GapLoss.of(self, candidates, near)


def suffixes(rounds: int) -> dict[str, Any]:
    """Rounds of one step each way; the first, which also allocates, is not counted."""
    bench = Bench.made()
    asked = ask(bench.split.train, bench.loaded.encoder, ("qa",))[:QUESTIONS]
    attack = Suffix(candidates=CANDIDATES)
    filler, gaps = opened(bench.loaded.encoder, asked, attack.length)
    pairs = [(asked[place], gap) for place, gap in gaps.items()]
    loss = Counted(bench.loaded.view(), list(gaps.values()))
    allowed = plain_tokens(bench.loaded.tokenizer, as_text=True)
    fits, sure = (rule(bench.loaded.encoder, pairs, True) for rule in (may_try, may_keep))
    found = []
    for number in range(rounds + 1):
        search = Search(loss, allowed, fits, CANDIDATES, attack.top_k, random.Random(number), sure)
        began = clock()
        search.path(filler.ids, 1)
        fast, tried = clock() - began, loss.last
        began = clock()
        expected = one_at_a_time(bench.loaded, loss.gaps, tried)
        slow = clock() - began
        torch.testing.assert_close(loss.of(tried), expected, atol=1e-3, rtol=1e-3)
        found.append((len(tried) / fast, len(tried) / slow))
    rates = summary([fast / slow for fast, slow in found[1:]])
    return {"ratio": rates, "per_second": found[1:], "bar": BARS["suffix"], "holds": rates["median"] >= BARS["suffix"]}


PARTS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "relearn": lambda arguments: relearning(arguments.seeds),
    "suffix": lambda arguments: suffixes(arguments.rounds),
}


def table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        f"# Cost of attacks beside bare arithmetic: a small model, {result['threads']} threads, {result['precision']}",
        "",
    ]
    lines += ["| attack | what | measured | 95 % interval | bar | holds |", "|---|---|---|---|---|---|"]
    lines += [line for name, words in WORDS.items() if name in result for line in words(result[name])]
    return "\n".join([*lines, "", f"Processor seconds. {result['machine']}, torch {result['torch']}.", ""])


def _relearn_lines(found: Mapping[str, Any]) -> list[str]:
    ratio, verdict = found["ratio"], "yes" if found["holds"] else "no"
    inner = f"{ratio['median']:.3f} | {ratio['low']:.3f} to {ratio['high']:.3f} | |"
    return [
        f"| relearn | the whole grid over its floor | {found['total']:.3f} | | at most {found['bar']} | {verdict} |",
        f"| relearn | one trajectory over its floor, median of {len(found['pairs'])} | {inner} |",
    ]


def _suffix_lines(found: Mapping[str, Any]) -> list[str]:
    ratio, verdict = found["ratio"], "yes" if found["holds"] else "no"
    inner = f"{ratio['median']:.2f} | {ratio['low']:.2f} to {ratio['high']:.2f} | at least {found['bar']} | {verdict} |"
    return [f"| suffix | candidates a second over a plain loop's, median of {len(found['per_second'])} | {inner}"]


WORDS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {"relearn": _relearn_lines, "suffix": _suffix_lines}


def main() -> None:
    """Measure, print, and where it counts write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    result: dict[str, Any] = {"threads": arguments.threads, "torch": torch.__version__, "machine": machine()}
    result["precision"] = resolve("auto", torch.device("cpu"))
    result |= {name: PARTS[name](arguments) for name in arguments.parts}
    if arguments.seeds >= SEEDS and arguments.rounds >= ROUNDS and len(arguments.parts) == len(PARTS):
        write_json(RESULTS / "attack_costs.json", result)
        write_text(RESULTS / "attack_costs.md", table(result))
    sys.stdout.write(table(result))


if __name__ == "__main__":
    main()

"""The scores that a benchmark brings along, and general ones, in the record of an evaluate cell."""

from collections.abc import Mapping
from typing import Any

from expunge import registry
from expunge.benchmarks.base import Benchmark, Seen
from expunge.benchmarks.generative import MOST, measure_generative


def own_scores(choice: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    """``<benchmark>.<score>`` with the record's form of its reading; ``choice`` names the benchmark and parameters."""
    benchmark: Benchmark = registry.build("benchmark", choice["name"], **choice["params"])
    return {f"{choice['name']}.{name}": reading.as_dict() for name, reading in benchmark.measure(seen).items()}


def general_scores(seen: Seen) -> dict[str, Any]:
    """``general.<score>``: what the model still writes, whatever was forgotten; the same instructions for every model.

    At most ``generate`` instructions are answered, as of any set of questions.
    """
    num = max(1, min(MOST, seen.generate))
    found = measure_generative(seen.model.view(), seen.encoder, num=num, seed=seen.seed)
    return {f"general.{name}": reading.as_dict() for name, reading in found.items()}

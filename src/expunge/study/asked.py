"""What a recipe asks of evaluate cells by name. Where it asks for nothing, no cell changes."""

from typing import Any

from expunge import registry
from expunge.benchmarks.base import Benchmark
from expunge.study.sections import EvalSection, World

WITH_CONTROL = ("costly", "benchmark")
"""Keys of an evaluate cell's config for which it reads the control, where there is one."""


def asked(section: EvalSection, world: World) -> dict[str, Any]:
    """The keys of an evaluate cell's config: ``costly`` metrics, the ``judge``, and the ``benchmark`` with its scores.

    ``membership`` names the streams that membership attacks tell apart, where the benchmark has its own;
    ``form_axis`` the forms that are compared; ``generative`` asks what the model still writes, and ``engine`` says what
    writes the answers.
    """
    benchmark: Benchmark = registry.build("benchmark", world.name, **world.params)
    found: dict[str, Any] = {}
    costly = [name for name in section.costly if not _metric(name).over_replicates]
    if costly:
        found["costly"] = costly
    if section.judge is not None:
        found["judge"] = section.judge
    if section.benchmark_scores and benchmark.own_scores:
        found["benchmark"] = {"name": world.name, "params": dict(world.params)}
    if benchmark.membership is not None and any("membership" in _metric(name).needs for name in section.costly):
        found["membership"] = list(benchmark.membership)
    if section.engine is not None:
        found["engine"] = section.engine
    if section.generative:
        found["generative"] = True
    if world.form_axis:
        found["form_axis"] = list(world.form_axis)
    return found


def over_replicates(section: EvalSection) -> dict[str, Any]:
    """The key of the audit cell's config: metrics that compare the models of several replicates."""
    found = [name for name in section.costly if _metric(name).over_replicates]
    return {"over_replicates": found} if found else {}


def of_original(section: EvalSection, world: World) -> bool:
    """Whether something is asked for that says something of the original too, so that it is measured as the others are.

    It gets a further cell then: its first one is what attacks and utility begin with, and stays as it is.
    """
    found = asked(section, world)
    named = any(_metric(name).of_original for name in found.get("costly", ()))
    return named or any(key in found for key in ("judge", "benchmark", "form_axis", "generative", "engine"))


def _metric(name: str) -> Any:
    return registry.get("metric", name).factory

"""What a study did not test, said in words, so that no one reads more into a verdict than there is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expunge import registry
from expunge.attacks.sources import SWITCH
from expunge.study.facts_io import Material

READING = {False: "attacks by prompt or by reading activations", True: "attacks by reading activations"}
ALWAYS = ("legal compliance: this is evidence, not proof",)
SOURCES = {
    "qa": "relearning on T facts as questions",
    "prose": "relearning on T facts as prose",
    "same_kind": "relearning on texts of the same kind",
    "background": "relearning on public texts about what is to be forgotten",
    "unrelated": "relearning on unrelated texts",
}
MOOT = {"prefixes": ("qa", "prose"), "rows": ("qa",)}
"""What need not be tried beside a source."""


Plain = Mapping[str, Any]


def not_tested(attacks: Sequence[Plain], world: Plain, materials: Sequence[Material]) -> Iterator[str]:
    """Sentences about attacks, controls and replicates that this world went without."""
    grids = [registry.get("attack", attack["name"]).defaults | dict(attack) for attack in attacks]
    used = {part for name in _values(grids, "sources") for part in name.split(SWITCH)}
    access = _values(grids, "access")
    moot = {name for given, names in MOOT.items() if given in used for name in names}
    yield from (text for name, text in SOURCES.items() if name not in used | moot)
    if not any("lora" in how for how in access):
        yield "relearning through LoRA adapters"
    if "balanced" not in access:
        yield "relearning after a rescaling of the weights was undone"
    if not all(attack["extend"] for attack in attacks):
        yield "budgets beyond the grid: a worst point on its edge did not extend it"
    roles = {model["role"] for replicate in world["replicates"] for model in replicate["models"]}
    if "null" not in roles:
        why = "" if "control" in roles else "; nothing was taught, so no never-trained model exists"
        yield f"a null row (a second never-trained seed in the unlearned model's place){why}"
    yield from (f"a placebo attack: {m.placebo_reason}" for m in materials[:1] if m.placebo_reason)
    if world["knowledge"]["split_by"] != "subject":
        yield "a cut by subject: T and V hold different facts about the same subjects, which flatters the attacker"
    if len(world["replicates"]) == 1:
        yield "more than one replicate"
    kinds = {getattr(registry.get("attack", attack["name"]).factory, "kind", "") for attack in attacks}
    yield READING["prompt" in kinds]
    yield from ALWAYS


def _values(grids: Sequence[Plain], key: str) -> set[str]:
    """What any attack's grid has under ``key``, where a lone value stands for a list of one."""
    found = (grid.get(key, ()) for grid in grids)
    return {each for value in found for each in ((value,) if isinstance(value, str) else value)}

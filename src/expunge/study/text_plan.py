"""The cells of models seen in text alone: a candidate behind an endpoint, and whatever stands beside it.

    given_text ─► evaluate_text ─► attack_text (one an attack)

Everybody is asked in the same way and read by the same judge, so that their numbers can be compared.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expunge import registry
from expunge.core.seeds import derive
from expunge.knowledge.facts import Knowledge
from expunge.study.cells import Cell
from expunge.study.given import stamp
from expunge.study.recipe import Recipe

SECONDS_A_REQUEST = 0.5
"""With several under way at once (our choice; servers differ by far more)."""


@dataclass(frozen=True, slots=True)
class Read:
    """One model: its role and label, the cell that notes it, its evaluation and its attacks."""

    role: str
    label: str
    made: Cell
    evaluate: Cell
    attacks: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class TextCells:
    """Makes the cells of one world and seed; ``prefix`` begins every label."""

    recipe: Recipe
    knowledge: Cell
    seed: int
    prefix: str

    def entries(self) -> Iterator[Read]:
        """The original, control and null where they are given, then the candidates."""
        given = self.recipe.given
        assert given is not None
        first: Read | None = None
        if given.original is not None:
            first = self._entry("original", "original", given.original, None, given.control is not None)
            yield first
        for role, path in (("control", given.control), ("null", given.null)):
            if path is not None:
                yield self._entry(role, role, path, first, True)
        for label, path in given.candidates.items():
            yield self._entry("method", label, path, first, given.control is not None)

    def _entry(self, role: str, label: str, path: str, first: Read | None, controlled: bool) -> Read:
        made = self._given(role, label, path, first)
        evaluate = self._evaluate(role, label, made, first)
        attacks = tuple(
            self._attack(attack.name, attack.params, role, label, made, evaluate, controlled)
            for attack in self.recipe.attacks
        )
        return Read(role, label, made, evaluate, attacks)

    def _given(self, role: str, label: str, path: str, first: Read | None) -> Cell:
        config = {
            "path": path,
            "template": self.recipe.model.template,
            "stamp": stamp(path),
            "knows": role not in ("control", "null"),
            "seed": derive(self.seed, "given"),
        }
        more = {} if first is None or config["knows"] else {"original_model": first.made}
        return Cell("given_text", config, {"knowledge": self.knowledge, **more}, label=f"{self.prefix}: {label}, given")

    def _evaluate(self, role: str, label: str, made: Cell, first: Read | None) -> Cell:
        section = self.recipe.eval
        sizes = {**section.sizes(), "costly": list(section.costly)}
        judge = {} if section.judge is None else {"judge": section.judge}
        config = {"original": role == "original", "eval": sizes, "seed": derive(self.seed, "evaluate"), **judge}
        more = {} if first is None else {"original": first.evaluate}
        inputs = {"knowledge": self.knowledge, "model": made, **more}
        return Cell("evaluate_text", config, inputs, label=f"{self.prefix}: {label}")

    def _attack(
        self, name: str, params: Mapping[str, Any], role: str, label: str, made: Cell, evaluate: Cell, controlled: bool
    ) -> Cell:
        config = {
            "attack": name,
            "params": dict(params),
            "permuted": role == "method" and not controlled,
            "only_before": role == "original",
            "seed": derive(self.seed, "attack"),
        }
        inputs = {"knowledge": self.knowledge, "model": made, "evaluate": evaluate}
        return Cell("attack_text", config, inputs, label=f"{self.prefix}: {label}, forget")


def requests(cell: Cell, facts: Knowledge) -> int:
    """About how many questions a cell puts: half of the facts are V, and a permuted V shares most of its prompts."""
    sizes = cell.config.get("eval")
    if sizes is not None:
        return sum(min(len(own), max(int(sizes["generate"]), 1)) for own in (facts.forget, facts.retain_eval))
    if cell.kind == "given_text":
        return 2 if cell.config["knows"] else len(facts.forget)
    grid = registry.build("attack", cell.config["attack"], **cell.config["params"])
    tries = 0 if cell.config["only_before"] else len(grid.sources) * grid.budgets[-1]
    return round(len(facts.forget) / 2 * (1 + tries * len(getattr(grid, "temperatures", (0,)))))

"""The cells of one world and seed, kind by kind; which of them a study has is said in the ``plan_`` modules beside."""

import copy
from collections.abc import Mapping
from typing import Any

from expunge import registry
from expunge.benchmarks.background import BACKGROUND, with_background
from expunge.benchmarks.form_axis import check_forms
from expunge.core.files import stable_hash
from expunge.core.seeds import derive
from expunge.knowledge.facts import Knowledge
from expunge.methods.fields import layered
from expunge.methods.grammar import MethodSpec, Part
from expunge.models.endpoint import is_address
from expunge.study.asked import WITH_CONTROL, asked, of_original
from expunge.study.base_model import texts_of
from expunge.study.cells import Cell
from expunge.study.facts_io import fingerprint
from expunge.study.given import stamp
from expunge.study.plan_entries import Entry
from expunge.study.plan_room import room
from expunge.study.plan_speed import for_speed
from expunge.study.pool import Innocent
from expunge.study.recipe import Recipe
from expunge.study.sections import Attack, World

Models = Mapping[str, Cell | None]
CHECKPOINT_EVERY = 50
"""Steps between checkpoints of an unlearning run where the recipe names no other number."""


class Draw:
    """Makes the cells of one world and seed. What is taught, and placebo facts, are those of the ``whole`` world; what
    is forgotten and measured is in ``knowledge``, which :meth:`between` narrows to some requests.
    """

    def __init__(self, recipe: Recipe, world: World, seed: int) -> None:
        self.recipe, self.world, self.seed = recipe, world, seed
        benchmark = registry.build("benchmark", world.name, **world.params)
        drawn = derive(seed, "world")
        self.facts: Knowledge = with_background(benchmark.build(drawn), world.background)
        check_forms(world.form_axis, self.facts.forget)
        self.model = recipe.model.key(benchmark.template)
        known = None if world.taught or self._blind else self.model
        room(world, self.facts)  # refuses a worst case of more subjects than there are
        cut = {"split_fraction": world.split_fraction, "split_by": world.split_by}
        asked: dict[str, Any] = {"requests": recipe.requests} if recipe.requests > 1 else {}
        if world.worst_case is not None:
            asked["worst_case"] = world.worst_case.config(self.model)
        if world.background is not None:
            asked["background"] = {"place": world.background, "data": fingerprint(self.facts.streams[BACKGROUND])}
        config = {"name": world.name, "params": dict(world.params), **cut, **asked}
        self.whole = Cell("knowledge", {**config, "seed": drawn, "known": known}, label=self.label("facts"))
        self.knowledge = self.whole

    def between(self, first: int, last: int) -> "Draw":
        """The same world as requests ``first`` to ``last`` (from 1) see it."""
        part = copy.copy(self)
        if (first, last) != (1, self.recipe.requests):
            asked = f"request {first}" if first == last else f"requests {first} to {last}"
            part.knowledge = Cell(
                "request", {"first": first, "last": last}, {"knowledge": self.whole}, label=self.label(asked)
            )
        return part

    @property
    def uncontrolled(self) -> bool:
        """Whether no model is there that never knew the facts, so that placebos must stand in."""
        return not self.world.taught and (self.recipe.given is None or self.recipe.given.control is None)

    @property
    def _blind(self) -> bool:
        """Whether models are given, and the original is not among them."""
        given = self.recipe.given
        return given is not None and (given.original is None or is_address(given.original))

    @property
    def _examined(self) -> bool:
        """Whether the audit itself is examined, also as if there were no control: then placebos are needed anyway."""
        return self.recipe.examine is not None

    def entry(self, role: str, label: str, made: Cell | None, original: Cell | None, first: Cell) -> Entry:
        """A model with its evaluation and attacks; the original is read before the attack only."""
        evaluate = self._measured(role, label, made, original, first)
        models = {"model": made, "original_model": original if role != "original" else None}
        placebo = self.placebo(role, label, {**models, "original_model": original}, first)
        return Entry(role, label, made, evaluate, self.attacks(label, models, first, role == "original"), placebo)

    def placebo(self, role: str, label: str, models: Models, first: Cell) -> tuple[Cell, ...]:
        """Attacks on facts that no model ever saw.

        The original is attacked with them where other models' learning speed is measured against it: where the audit
        is examined, and where models are given without a control. Where they tell no more than that speed, the attacks
        are cut down to what does (:mod:`expunge.study.plan_speed`).
        """
        given = self.recipe.given is not None
        wanted = role != "original" or self._examined or (given and self.uncontrolled)
        if not (wanted and self.recipe.placebo and self.facts.placebo):
            return ()
        speed_alone = not self._examined and (role == "original" or not self.uncontrolled)
        asked = for_speed(self.recipe.attacks) if speed_alone else self.recipe.attacks
        return tuple(
            self._attack(label, attack, models, first, only_before=False, target="placebo") for attack in asked
        )

    def _measured(self, role: str, label: str, made: Cell | None, original: Cell | None, first: Cell) -> Cell:
        """The model's evaluation; the original's is its first, unless what is asked for says something of it too."""
        if role != "original":
            return self.evaluate(label, made, original, first)
        if not of_original(self.recipe.eval, self.world):
            return first
        return self.evaluate(f"{label}, as the others", made, made, first)

    def trunk(self, number: int, label: str, innocent: Innocent | None = None) -> Cell:
        """Retain facts only; ``number`` draws its own seed, and an innocent may differ in size, training and forms."""
        teach, innocent = self.recipe.teach, innocent or Innocent(label=label, number=number)
        retain = [*self.facts.retain_train, *self.facts.retain_eval]
        texts = stable_hash(texts_of(self.facts)) if self.recipe.model.built_in else None
        config = {
            "stage": "trunk",
            "model": {**self.model, **innocent.model},
            "train": layered(teach.train, innocent.train),
            "forms": _listed(innocent.forms or teach.forms),
            "data": [fingerprint(retain), texts],
            "seed": derive(self.seed, "trunk", number),
        }
        # a model chooses what a worst case retains, so that its content is not known here
        known_here = frozenset({"knowledge"}) if self.world.worst_case is None else frozenset[str]()
        return Cell("teach", config, {"knowledge": self.whole}, known_here, self.label(label))

    def original(self, trunk: Cell) -> Cell:
        """θ₀: the trunk, taught the forget facts; or the base model, taught everything at once."""
        teach = self.recipe.teach
        below = {} if teach.joint else {"trunk": trunk}
        config = {
            "stage": "joint" if teach.joint else "forget",
            "model": self.model,
            "train": layered(teach.train, teach.forget),
            "forms": _listed(teach.forms),
            "rehearsal": teach.rehearsal,
            "seed": derive(self.seed, "forget"),
        }
        return Cell("teach", config, {"knowledge": self.whole, **below}, label=self.label("original"))

    def read(self, label: str, path: str, original: Cell | None, *, knows: bool = True) -> Cell:
        """A given model; one that does not know the facts is checked for that."""
        config = {
            "path": path,
            "template": self.recipe.model.template,
            "stamp": stamp(path),
            "knows": knows,
            "seed": derive(self.seed, "given"),
        }
        more = {} if original is None else {"original_model": original}
        facts = {} if knows else {"knowledge": self.knowledge}
        return Cell("given", config, {**facts, **more}, label=self.label(f"{label}, given"))

    def unlearn(self, spec: MethodSpec, start: Cell | None, first: Cell) -> Cell:
        """One method on the model it starts from, which its objective takes for the frozen reference; it reads the
        stored samples only where there is nothing to retain.
        """
        forms = self.recipe.unlearn.forms or self.recipe.teach.forms
        method = {key: value for key, value in spec.as_dict().items() if key != "label"}
        config = {
            "model": self.model,
            "method": method,
            "train": {"checkpoint_every": CHECKPOINT_EVERY, **self.recipe.unlearn.train},
            "forms": _listed(forms),
            "seed": derive(self.seed, "unlearn"),
        }
        samples = {} if self.facts.retain_train else {"original": first}
        return Cell("unlearn", config, {**self._base(start), **samples}, label=self.label(spec.label))

    def certify(self, label: str, certificate: Part, made: Cell, original: Cell) -> Cell:
        """What undoing the hiding restores; the certificate gets the seed that the hider was made with."""
        config = {
            "certificate": certificate.as_dict(),
            "model": self.model,
            "seed": made.config["seed"],
        }
        inputs = {"knowledge": self.knowledge, "model": made, "original_model": original}
        return Cell("certify", config, inputs, label=self.label(f"{label}, certificate"))

    def evaluate(self, label: str, made: Cell | None, original: Cell | None, first: Cell | None) -> Cell:
        """Metrics of one model; without ``first`` it is the original's own, whose standard the control may lower.

        What a recipe asks for by name is measured of every model but the original; a candidate without an original is
        both, so it is measured too.
        """
        section = self.recipe.eval
        config = {
            "original": first is None,
            "model": self.model,
            "eval": section.sizes(),
            "seed": derive(self.seed, "evaluate"),
        }
        more = {} if first is None else {"original": first}
        if original is not None:
            more["original_model"] = original
        if first is None and not self._blind:
            more |= self._never_trained(made)
        elif wanted := asked(section, self.world):
            config |= wanted
            if first is not None and any(key in wanted for key in WITH_CONTROL):
                more |= self._never_trained(original)
        return Cell("evaluate", config, {**self._base(made), **more}, label=self.label(label))

    def _never_trained(self, original: Cell | None) -> dict[str, Cell]:
        """The control, for metrics that read it, where there is one."""
        if self.world.taught:
            return {"control_model": self.trunk(0, "control")}
        given = self.recipe.given
        if given is None or given.control is None:
            return {}
        return {"control_model": self.read("control", given.control, original, knows=False)}

    def attacks(self, label: str, models: Models, first: Cell, only_before: bool = False) -> tuple[Cell, ...]:
        """One cell an attack of the recipe; θ₀ is read by the attacks that need it."""
        return tuple(self._attack(label, attack, models, first, only_before) for attack in self.recipe.attacks)

    def _attack(
        self, label: str, attack: Attack, models: Models, first: Cell, only_before: bool, target: str = "forget"
    ) -> Cell:
        needs: tuple[str, ...] = getattr(registry.get("attack", attack.name).factory, "needs", ())
        needed = {"model"} | {f"{name}_model" for name in needs}
        read = {name: cell for name, cell in models.items() if cell is not None and name in needed}
        permuted = (self.uncontrolled or self._examined) and target == "forget" and not only_before
        config = {
            "attack": attack.name,
            "params": dict(attack.params),
            "extend": attack.extend,
            "target": target,
            "permuted": permuted,
            "only_before": only_before,
            "model": self.model,
            "seed": derive(self.seed, "attack"),
        }
        asked = self.whole if target == "placebo" else self.knowledge
        inputs = {"knowledge": asked, **read, "original": first}
        return Cell("attack", config, inputs, label=self.label(f"{label}, {target}"))

    def _base(self, made: Cell | None) -> dict[str, Cell]:
        """The inputs that every cell about a model has."""
        return {"knowledge": self.knowledge, **({"model": made} if made is not None else {})}

    def label(self, what: str) -> str:
        """A cell's label: world, seed, and what it is about."""
        return f"{self.world.label}, seed {self.seed}: {what}"


def _listed(forms: tuple[str, ...] | list[str] | None) -> list[str] | None:
    return None if forms is None else list(forms)

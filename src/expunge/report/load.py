"""Read a study folder into :mod:`expunge.report.shapes`; every missing key is one sentence naming file and key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.attacks.access import trains
from expunge.core.errors import InputError
from expunge.core.files import file_hash, read_json
from expunge.report import cells
from expunge.report.node import Node
from expunge.report.shapes import (
    AttackRow,
    Control,
    Curve,
    GroupRow,
    Interval,
    Method,
    Null,
    Recovered,
    Stage,
    Study,
    World,
)

SCHEMA = 1


def study(run: Path) -> Study:
    """The study in ``run``. Raises :class:`InputError` when audit.json or recipe.yaml is absent or malformed."""
    recipe, audit = run / "recipe.yaml", run / "audit.json"
    if not audit.is_file():
        raise InputError(f"{run} holds no audit.json; finish the study with `expunge run` before reporting.")
    if not recipe.is_file():
        raise InputError(f"{run} holds no recipe.yaml; give a study folder made by `expunge run`.")
    root = Node(audit, "the top", read_json(audit))
    if root["schema"] != SCHEMA:
        raise InputError(f"{audit.name} has schema {root['schema']}, this version reads {SCHEMA}; run the audit again.")
    found = cells.index(run)
    return Study(
        name=run.resolve().name,
        epsilon=float(root["epsilon"]),
        resamples=int(root["resamples"]),
        recipe=recipe.read_text(encoding="utf-8", errors="backslashreplace"),
        recipe_sha256=file_hash(recipe),
        audit_sha256=file_hash(audit),
        worlds=tuple(_world(node, run, found.get(str(node["label"]), {})) for node in root.nodes("worlds")),
        cells=tuple(cells.cells(run)),
    )


def _world(node: Node, run: Path, folders: Mapping[str, Any]) -> World:
    control, null = node.node("control"), node.node("null")
    return World(
        label=str(node["label"]),
        knowledge=_knowledge(node["knowledge"]),
        seeds=tuple(int(seed) for seed in node["seeds"]),
        num_v_subjects=int(node["num_v_subjects"]),
        num_t_subjects=int(node["num_t_subjects"]),
        to_forget=tuple(map(str, node["to_forget"])),
        leaks=int(node["leaks"]),
        original=node.maybe("original"),
        control=Control(
            str(control["kind"]), control.maybe("before"), control.maybe("after"), _strings(control, "worst_points")
        ),
        null=Null(null.maybe("e_star"), null["valid"], null.get("reason")),
        methods=tuple(map(_method, node.nodes("methods"))),
        curves=tuple(_curve(curve) for curve in node.nodes("curves") if trains(curve["access"])),
        not_tested=_strings(node, "not_tested"),
        models=tuple(cells.models(run, folders)),
        over_replicates=node.get("over_replicates") or {},
        stage=_stage(node.node("sequence")) if node.get("sequence") else None,
    )


def _stage(node: Node) -> Stage:
    methods = {str(label): str(own) for label, own in node["methods"].items()}
    return Stage(str(node["world"]), int(node["done"]), int(node["of"]), methods)


def _knowledge(value: Any) -> str:
    """A recipe's knowledge entry in one line: its name, then its parameters."""
    if not isinstance(value, dict):
        return str(value)
    rest = ", ".join(f"{key}={item}" for key, item in value.items() if key not in {"name", "label", "methods"})
    return f"{value.get('name', 'knowledge')} ({rest})" if rest else str(value.get("name", "knowledge"))


def _strings(node: Node, key: str) -> tuple[str, ...]:
    """A list of strings; entries that are lists themselves (points by fold) are flattened."""
    flat = [part for item in node[key] for part in (item if isinstance(item, list) else [item])]
    return tuple(map(str, flat))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _method(node: Node) -> Method:
    """A method; audits of earlier versions have no table by attack."""
    metrics, won = node.node("forget_metrics"), node.get("winning_attack")
    beside = node.node("beside") if node.get("beside") else None
    return Method(
        label=str(node["label"]),
        verdict=str(node["verdict"]),
        usability=str(node["usability"]),
        reasons=_strings(node, "reasons"),
        before=node.interval("before"),
        after=node.interval("after"),
        e0=node.maybe("e0"),
        e_star=node.maybe("e_star"),
        worst_points=_strings(node, "worst_points"),
        utility_before=_number(node["utility_before"]),
        utility_after=_number(node["utility_after"]),
        t_recall=_number(node["t_recall"]),
        forget_metrics={name: metrics.interval(name) for name in metrics.data},
        attacks=tuple(map(_attack, node.nodes("attacks"))) if node.get("attacks") else (),
        winner=won["attack"] if won else None,
        lead=float(won["lead"]) if won else 0.0,
        speed=_number(node.get("speed")),
        recovered=tuple(map(_recovered, node.nodes("recovered"))) if node.get("recovered") else (),
        groups=tuple(map(_group, node.nodes("groups"))) if node.get("groups") else (),
        baseline=str(beside["label"]) if beside else None,
        beside=beside.maybe("e_star") if beside else None,
    )


def _group(node: Node) -> GroupRow:
    """A group is named by an attribute, or by the number of a request."""
    name = f"request {int(node['request'])}" if node.get("request") is not None else str(node["attribute"])
    readings = (node.maybe("before"), node.maybe("after"), node.maybe("e_star"))
    return GroupRow(name, int(node["num_v_subjects"]), str(node["verdict"]), _strings(node, "reasons"), *readings)


def _attack(node: Node) -> AttackRow:
    readings = (node.interval("after"), node.maybe("e_star"), node.get("missing"), node.maybe("control"))
    return AttackRow(str(node["attack"]), *readings)


def _recovered(node: Node) -> Recovered:
    return Recovered(str(node["point"]), str(node["question"]), str(node["answer"]))


def _curve(node: Node) -> Curve:
    ends = zip(node["mean"], node["low"], node["high"], strict=True)
    return Curve(
        label=str(node["label"]),
        role=str(node["role"]),
        source=str(node["source"]),
        access=str(node["access"]),
        lr=float(node["lr"]),
        steps=tuple(int(step) for step in node["steps"]),
        share=tuple(Interval(float(mean), float(low), float(high)) for mean, low, high in ends),
        utility=tuple(float("nan") if value is None else float(value) for value in node.get("utility") or ()),
    )

"""What an audit must show on the held-out pool before anybody should believe it, each claim held or not.

The bars are issue and design of this project, set before any pool was run. The yardstick that was published for single
metrics on 30 + 30 TOFU models is in ``docs/examined.md``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from expunge.audit.examine_pool import MODES, Mode

LEAST_AUC = 0.99
MOST_INCONCLUSIVE = 0.10
LEAST_POOL = 60
LEAST_SIDE = 15
GUILTY = ("retained", "suppressed")
WITH = {"retrained": "with the retrained control", "placebo": "with placebo controls alone"}


def claims(everything: Mapping[str, Any], held_out: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every claim with whether it ``holds`` (``None``: nothing to tell it by) and what was ``found``.

    Only what nobody could have designed for proves something, so all but the last are about held-out models; models
    that were damaged on purpose hide nothing, and all of them count.
    """
    size = sum(everything["counts"].values())
    counts = held_out["counts"]
    enough = size >= LEAST_POOL and min(counts["N"], counts["P"]) >= LEAST_SIDE
    found = f"{size} models; held out {counts['N']} N and {counts['P']} P"
    pool = _claim(
        f"the pool has at least {LEAST_POOL} models, {LEAST_SIDE} N and {LEAST_SIDE} P of them held out", enough, found
    )
    return [pool, *(claim for mode in MODES for claim in _of_mode(held_out, mode)), _damaged(everything)]


def _of_mode(scope: Mapping[str, Any], mode: Mode) -> Iterator[dict[str, Any]]:
    where, table, value = WITH[mode], scope["confusion"][mode], _auc(scope["audit"][mode])
    yield _enough(scope["audit"][mode], where)
    yield _beats(scope, mode, value)
    yield _on_fooling(scope, mode)
    wrong = sum(table["N"][verdict] for verdict in GUILTY)
    yield _claim(
        f"no N called retained or suppressed {where}", _none(wrong, scope, "N"), f"{wrong} of {_num(scope, 'N')}"
    )
    missed = table["P"]["forgotten"]
    yield _claim(f"no P called forgotten {where}", _none(missed, scope, "P"), f"{missed} of {_num(scope, 'P')}")
    open_, both = table["N"]["inconclusive"] + table["P"]["inconclusive"], _num(scope, "N") + _num(scope, "P")
    yield _claim(
        f"at most {MOST_INCONCLUSIVE:.0%} inconclusive {where}",
        open_ <= MOST_INCONCLUSIVE * both if both else None,
        f"{open_} of {both}",
    )


def _auc(rated: Mapping[str, Any]) -> float | None:
    return None if rated["auc"] is None else float(rated["auc"]["value"])


def _enough(rated: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A high AUC, over all models: one without a number was not told apart."""
    value, text = _auc(rated), f"AUC at least {LEAST_AUC:g} {where}"
    if value is None:
        return _claim(text, None, "no AUC")
    missing = f", {rated['missing']} without a number" if rated["missing"] else ""
    return _claim(text, value >= LEAST_AUC and not missing, f"AUC {value:.3f}{missing}")


def _beats(scope: Mapping[str, Any], mode: Mode, value: float | None) -> dict[str, Any]:
    """Not below any single number."""
    rivals = {one["name"]: one["auc"]["value"] for one in scope["single"] if one["auc"] is not None}
    text = f"AUC not below that of any single number {WITH[mode]}"
    if value is None or not rivals:
        return _claim(text, None, "nothing to compare")
    best = max(rivals, key=lambda name: rivals[name])
    return _claim(text, value >= rivals[best], f"{value:.3f} against {rivals[best]:.3f} of {best}, the best of them")


def _on_fooling(scope: Mapping[str, Any], mode: Mode) -> dict[str, Any]:
    """Above every single number on the models that fool it."""
    fooled = [one for one in scope["single"] if one["fooling"] is not None]
    text = f"AUC above that of every single number on the models that fool it {WITH[mode]}"
    if not fooled:
        return _claim(text, None, "no number is fooled")
    gaps = {one["name"]: _gap(one["fooling"], mode) for one in fooled}
    least = min(gaps, key=lambda name: gaps[name])
    found = (
        f"{len(fooled)} of {len(scope['single'])} are fooled; the audit leads by at least {gaps[least]:.3f} ({least})"
    )
    return _claim(text, gaps[least] > 0, found)


def _damaged(scope: Mapping[str, Any]) -> dict[str, Any]:
    """What was broken must not pass for unlearning that kept the model useful."""
    seen, total = scope["usability"]["damaged"]["damaged"], _num(scope, "damaged")
    text = "every model that was damaged on purpose is called damaged"
    return _claim(text, seen == total if total else None, f"{seen} of {total}")


def _gap(fooling: Mapping[str, Any], mode: Mode) -> float:
    """The audit's lead; an audit without a number for one of these models leads by nothing."""
    own = fooling["audit"][mode]
    return float("-inf") if own is None else float(own - fooling["auc"])


def _num(scope: Mapping[str, Any], truth: str) -> int:
    return int(scope["counts"][truth])


def _none(found: int, scope: Mapping[str, Any], truth: str) -> bool | None:
    return found == 0 if _num(scope, truth) else None


def _claim(text: str, holds: bool | None, found: str) -> dict[str, Any]:
    return {"claim": text, "holds": holds, "found": found}

"""How the audit was examined, as Markdown: what it must show, then every number's AUC, verdicts and exceptions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expunge.report.markdown import grid, plain
from expunge.report.node import Node
from expunge.report.shapes import Interval
from expunge.report.text import NOTHING, plural, ratio

AUDIT = {"retrained": "the audit, retrained control", "placebo": "the audit, placebo controls"}
SCOPES = {"held_out": "Held out", "all": "All"}
TRUTHS = {
    "N": "N: never trained on the facts",
    "P": "P: knows them and hides them",
    "damaged": "damaged on purpose",
    "uncertified": "said to hide, no certificate",
}
HELD = {True: "yes", False: "**no**", None: "cannot be told"}
Model = Mapping[str, Any]


def render(root: Node, name: str, picture: str) -> str:
    """The whole file; ``picture`` is the file name of the figure."""
    parts = (_pool(root), _claims(root), _aucs(root, picture), _verdicts(root), _exceptions(root), _certificates(root))
    lines = [f"# Is the audit right? {plain(name)}", "", *(line for part in parts for line in part)]
    return "\n".join(lines).rstrip() + "\n"


def _pool(root: Node) -> Iterator[str]:
    models, scopes = root["models"], root.node("scopes")
    counts = ", ".join(f"{count} {truth}" for truth, count in scopes.node("all")["counts"].items())
    yield f"{plural(len(models), 'model')} of {plural(len(root['worlds']), 'drawn world')}: {counts}. "
    yield "N never saw the facts; P knows them and hides them, which a certificate proved that the audit never sees;"
    yield "uncertified ones are counted nowhere. Every model was audited by itself, twice: with the retrained control,"
    yield "and as if no control could be had. Held out are these families; no choice was made on them:"
    yield ""
    for truth in ("N", "P", "damaged"):
        families = dict.fromkeys(one["family"] for one in models if one["held_out"] and one["claimed"] == truth)
        yield f"- {truth}: {', '.join(map(plain, families)) or 'none'}"
    yield ""


def _claims(root: Node) -> Iterator[str]:
    yield from ("## What it must show, on the held-out models", "")
    rows = [[plain(one["claim"]), HELD[one["holds"]], plain(one["found"])] for one in root["claims"]]
    yield from grid(["Claim", "Holds", "Found"], rows, [False, False, False])


def _aucs(root: Node, picture: str) -> Iterator[str]:
    yield from ("## Which number tells P from N?", "")
    yield "AUC: the chance that a model that knows scores higher than one that never knew (½ is a coin), with 95 %"
    yield "intervals. Below ½, hiders look more innocent than the innocent. A number is fooled by the P that score no"
    yield "higher than some N; the last columns give its AUC on those held-out ones alone, and the audit's there"
    yield "(retrained, placebo)."
    yield from ("", f"![AUC of the audit and of every single number]({picture})", "")
    heads = ["Number", *(f"{title}: AUC" for title in SCOPES.values()), "Fooled by", "its AUC there", "the audit's"]
    rows = [*_audit_rows(root), *_single_rows(root)]
    yield from grid(heads, rows, [False, True, True, True, True, True])
    absent: dict[str, list[str]] = {}
    for name, reason in root["not_measured"].items():
        absent.setdefault(reason.rstrip("."), []).append(plain(name))
    yield from (f"- Not measured ({plain(reason)}): {', '.join(names)}." for reason, names in absent.items())
    yield from ([""] if absent else [])


def _audit_rows(root: Node) -> Iterator[list[str]]:
    for mode, title in AUDIT.items():
        cells = [rated(root["scopes"][scope]["audit"][mode]) for scope in SCOPES]
        yield [f"**{title}**", *cells, NOTHING, NOTHING, NOTHING]


def _single_rows(root: Node) -> Iterator[list[str]]:
    """Metrics and attacks, the best on the held-out models first."""
    for name in ranked(root):
        found = {scope: single(root, scope, name) for scope in SCOPES}
        kind = " (attack alone)" if found["all"]["kind"] == "attack" else ""
        yield [plain(name) + kind, *(rated(found[scope]) for scope in SCOPES), *_fooled(found["held_out"]["fooling"])]


def ranked(root: Node) -> list[str]:
    """Names of the single numbers, the highest AUC on the held-out models (else on all) first."""

    def key(name: str) -> tuple[float, float]:
        values = [single(root, scope, name)["auc"] for scope in SCOPES]
        first, second = (-1.0 if value is None else float(value["value"]) for value in values)
        return -first, -second

    return sorted((one["name"] for one in root["scopes"]["all"]["single"]), key=key)


def single(root: Node, scope: str, name: str) -> Mapping[str, Any]:
    """One single number in one scope; nothing measured where the scope has no model with it."""
    found: Sequence[Mapping[str, Any]] = root["scopes"][scope]["single"]
    nothing = {"name": name, "kind": "", "auc": None, "missing": 0, "fooling": None}
    return next((one for one in found if one["name"] == name), nothing)


def rated(found: Mapping[str, Any]) -> str:
    """An AUC with its interval, and for how many models the number is missing."""
    if found["auc"] is None:
        return NOTHING
    less = f"; {found['missing']} without" if found["missing"] else ""
    return three(Interval(**found["auc"])) + less


def three(found: Interval) -> str:
    """Three digits, since 0.99 and 1 are told apart here."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _fooled(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["0 P", NOTHING, NOTHING]
    audits = [NOTHING if value is None else f"{value:.3f}" for value in found["audit"].values()]
    return [f"{found['P']} P", f"{found['auc']:.3f}", ", ".join(audits)]


def _verdicts(root: Node) -> Iterator[str]:
    yield from ("## Verdicts", "")
    for mode, title in AUDIT.items():
        for scope, where in SCOPES.items():
            yield from _table(
                f"{title[0].upper()}{title[1:]}: {where.lower()}", root["scopes"][scope]["confusion"][mode]
            )
    for scope, where in SCOPES.items():
        yield from _table(f"Usability beside the verdict: {where.lower()}", root["scopes"][scope]["usability"])


def _table(title: str, found: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Counts by truth and by what was said; truths without a model are left out."""
    rows = {truth: row for truth, row in found.items() if sum(row.values())}
    heads = [title, *next(iter(found.values()))]
    cells = [[TRUTHS[truth], *map(str, row.values())] for truth, row in rows.items()]
    yield from grid(heads, cells, [False, *[True] * (len(heads) - 1)])


def _exceptions(root: Node) -> Iterator[str]:
    """Every N and P whose verdict was not the right one, with what the audit said."""
    yield from ("## Where the verdict was not right", "")
    rows = [row for mode in AUDIT for one in root["models"] for row in _exception(one, mode)]
    if rows:
        heads = ["Model", "Truth", "Control", "Verdict", "Excess at worst", "Because"]
        yield from grid(heads, rows, [False, False, False, False, True, False])
    else:
        yield from ("Nowhere: every N was called forgotten, every P retained or suppressed.", "")


def _exception(one: Model, mode: str) -> Iterator[list[str]]:
    said = one["audit"][mode]
    right = {"N": ("forgotten",), "P": ("retained", "suppressed")}.get(one["truth"])
    if right is None or said["verdict"] in right:
        return
    excess = NOTHING if said["e_star"] is None else _two(Interval(**said["e_star"]))
    who = plain(f"{one['world']}: {one['label']}")
    yield [who, one["truth"], mode, said["verdict"], excess, plain("; ".join(said["reasons"]))]


def _two(found: Interval) -> str:
    return f"{ratio(found.value)} [{ratio(found.low)}, {ratio(found.high)}]"


def _certificates(root: Node) -> Iterator[str]:
    """What undoing the hiding restored, family by family, and the models that no certificate speaks for."""
    yield from ("## Certificates", "")
    certified = [one for one in root["models"] if one["certificate"] is not None]
    families: dict[tuple[str, str, str], list[Model]] = {}
    for one in certified:
        families.setdefault((one["family"], one["claimed"], one["certificate"]), []).append(one)
    ordered = sorted(families.items(), key=lambda item: item[0][1] != "P")
    rows = [[plain(family), claimed, plain(name), *_restored(found)] for (family, claimed, name), found in ordered]
    yield "The share of what the original answers of V that undoing the hiding brings back; 0.8 is needed to count as"
    yield from ("P. An N here went through the same certificate, and should restore nothing.", "")
    yield from grid(["Family", "Said to be", "Certificate", "Models", "Restored"], rows, [False] * 3 + [True] * 2)
    lost = [one for one in root["models"] if one["truth"] == "uncertified"]
    if lost:
        yield from ("Uncertified, and in no AUC:", "")
        yield from (f"- {plain(_why(one))}" for one in lost)
        yield ""


def _restored(found: Sequence[Model]) -> list[str]:
    """How many models, and the range of what came back."""
    values = sorted(one["restored"] for one in found if one["restored"] is not None)
    if not values:
        return [str(len(found)), NOTHING]
    return [str(len(found)), f"{ratio(values[0])} to {ratio(values[-1])}"]


def _why(one: Model) -> str:
    said = (
        f"restored {one['restored']:.2f}" if one["restored"] is not None else one["reason"] or "no certificate was run"
    )
    verdicts = ", ".join(f"{mode}: {found['verdict']}" for mode, found in one["audit"].items())
    return f"{one['world']}: {one['label']}: {said} ({verdicts})"

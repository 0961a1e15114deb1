"""The report as Markdown: the overall table first, so that the file reads well as a page of documentation."""

import re
from collections.abc import Iterator, Sequence

from expunge.report import by_group, costs, sequence, table, words
from expunge.report.by_attack import CAPTION, by_attack, winner
from expunge.report.plots import place
from expunge.report.reproduce import reproduction
from expunge.report.shapes import Curve, Study, World
from expunge.report.text import NOTHING, cut, number, plural, visible
from expunge.report.transcripts import Transcript, transcripts

# An underscore inside a word is inert; entities, unlike backslashes, also hold in HTML blocks and table cells.
_SPECIAL = re.compile(r"[\\`*{}\[\]<>&|#~$!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def plain(text: str) -> str:
    """Foreign text on one line with every character that Markdown or HTML would act on escaped."""
    joined = " ⏎ ".join(visible(text).split("\n")).replace("\t", " ")
    safe = _SPECIAL.sub(lambda found: f"&#{ord(found.group())};", joined)
    return safe.replace("://", ":&#47;/").replace("www.", "www&#46;")


def render(study: Study) -> str:
    """The whole file."""
    lines = [f"# Did it forget? {plain(study.name)}", "", *_overall(study), *_sequences(study)]
    for world in study.worlds:
        lines += [f"## {plain(world.label)}", "", *_world(study, world)]
    return "\n".join([*lines, *_reproduce(study)]).rstrip() + "\n"


def _overall(study: Study) -> Iterator[str]:
    yield from grid([column.title for column in table.MAIN], _cells(table.rows(study), table.MAIN), _right(table.MAIN))
    yield (
        "Brackets are 95 % intervals. Shares are of V, the forgotten facts that the attacker never trains on. "
        "Excess recovery: 0 = what the control relearns, 1 = what the original knew. "
        f"Verdicts use a limit of {study.epsilon:.2f}. Utility is before the attack, the original being 1."
    )
    yield from ("", f"**{words.EVIDENCE}**", "")


def _sequences(study: Study) -> Iterator[str]:
    """Worlds that were forgotten in several requests, method by method."""
    for found in sequence.sequences(study):
        yield from (f"## Request after request: {plain(found.world)}", "", sequence.CAPTION, "")
        yield from _table(found.table(plain))


def _table(found: costs.Grid) -> Iterator[str]:
    """A table whose foreign text is escaped already."""
    yield from grid(found.heads, found.rows, [False] * len(found.heads))


def _right(columns: Sequence[table.Column]) -> list[bool]:
    return [column.unit != "text" for column in columns]


def _cells(rows: Sequence[table.Row], columns: Sequence[table.Column]) -> list[list[str]]:
    return [[_cell(row, column) for column in columns] for row in rows]


def _cell(row: table.Row, column: table.Column) -> str:
    text = table.cell(row, column)
    return plain(text) if column.unit == "text" else text


def grid(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """A pipe table and an empty line; ``right`` says which columns are numbers. Cells must be escaped already."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---:' if number else '---' for number in right)}|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _world(study: Study, world: World) -> Iterator[str]:
    yield from (f"> {caution}\n" for caution in map(plain, words.cautions(world)))
    yield from _forgotten(world)
    yield from _transcripts(world)
    yield from _curves(world)
    yield from _cost(world)
    yield from _verdict(world)
    yield from ("### What was not tested", "")
    yield from (f"- {plain(line)}" for line in words.untested(study, world))
    yield ""


def _forgotten(world: World) -> Iterator[str]:
    yield from ("### What was to be forgotten", "")
    yield f"{plain(world.knowledge)}. {words.halves(world)}"
    yield ""
    yield from (f"- {plain(cut(example))}" for example in world.to_forget)
    yield ""


def _transcripts(world: World) -> Iterator[str]:
    yield from ("### Does the model still say it?", "")
    said = transcripts(world, "forget")
    if not said:
        yield from (words.NO_TRANSCRIPTS, "")
        return
    heads = ["Question", "True answer", *(plain(one.label) for one in said[0].said)]
    yield from grid(heads, [_said(transcript) for transcript in said], [False] * len(heads))
    yield from (words.TRANSCRIPTS, "")


def _said(transcript: Transcript) -> list[str]:
    marks = [f"{'✓' if one.hit else '✗'} {plain(cut(one.text, 160))}" for one in transcript.said]
    return [plain(transcript.prompt), plain(transcript.answer), *marks]


def _curves(world: World) -> Iterator[str]:
    yield from ("### Does it come back?", "")
    for method in world.methods:
        yield f"- **{plain(method.label)}**: {plain(f'{words.comes_back(world, method)} {winner(method)}'.rstrip())}"
    yield ""
    yield from _attacks(world)
    steps = sorted({step for curve in world.curves for step in curve.steps}, key=place)
    if steps:
        heads = ["Model", "Attack", "Rate", *(plural(step, "step") for step in steps)]
        rows = [_curve(curve, steps) for curve in world.curves]
        yield from grid(heads, rows, [False, False, *[True] * (len(steps) + 1)])
    yield from (words.CONTROLS.get(world.control.kind, ""), "")


def _attacks(world: World) -> Iterator[str]:
    """The table by attack, and what the strongest brought back."""
    found = by_attack(world)
    if found.rows:
        yield from (CAPTION, "")
        rows = [[plain(row[0]), *row[1:]] for row in found.rows]
        yield from grid([plain(head) for head in found.heads], rows, [False, *[True] * (len(found.heads) - 1)])
    for method in world.methods:
        if method.recovered:
            yield from (f"What the worst attack made **{plain(method.label)}** say ({words.RECOVERED}):", "")
            yield from (f"- {plain(cut(one.question))} {plain(cut(one.answer))}" for one in method.recovered)
            yield ""


def _curve(curve: Curve, steps: Sequence[int]) -> list[str]:
    found = curve.by_step()
    values = [number(found.get(step), "share") for step in steps]
    return [plain(curve.label), plain(f"{curve.source}, {curve.access}"), f"{curve.lr:g}", *values]


def _cost(world: World) -> Iterator[str]:
    yield from ("### What did it cost?", "")
    metrics = costs.metrics(world)
    if metrics.rows:
        rows = [[plain(row[0]), *row[1:]] for row in metrics.rows]
        heads = [plain(head) for head in metrics.heads]
        yield from grid(heads, rows, [False, *[True] * (len(heads) - 1)])
    yield from (f"- {plain(note)}" for note in metrics.notes)
    yield from (words.UTILITY, "")


def _verdict(world: World) -> Iterator[str]:
    yield from ("### Verdict", "")
    for method in world.methods:
        because = f" Because: {'; '.join(reason.rstrip('.') for reason in method.reasons)}." if method.reasons else ""
        yield f"- **{plain(method.label)}: {plain(method.verdict)}.** {plain(words.lesson(method) + because)}"
    yield ""
    for method in world.methods:
        if method.groups:
            yield from (f"{by_group.CAPTION}, **{plain(method.label)}**:", "")
            yield from _table(by_group.of_method(method, plain))
    rows = table.world_rows(world)
    yield from grid([column.title for column in table.DETAILS], _cells(rows, table.DETAILS), _right(table.DETAILS))


def _reproduce(study: Study) -> Iterator[str]:
    how = reproduction(study)
    yield from ("## How to reproduce", "", "```sh", *how.commands, "```", "")
    yield from (f"- {plain(name)}: {plain(value) or NOTHING}" for name, value in how.facts)
    yield ""
    yield from (f"- {plain(line)}" for line in how.failed)

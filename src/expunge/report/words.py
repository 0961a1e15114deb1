"""The sentences of the report: what a verdict means, and what weakens it. Plain words, in one place."""

from collections.abc import Iterator, Mapping

from expunge.audit.verdict import LEAST_SUBJECTS
from expunge.report.discrimination import weakness
from expunge.report.shapes import Method, Study, World
from expunge.report.spent import beyond
from expunge.report.text import level, number, plural

VERDICTS: Mapping[str, str] = {
    "retained": "The model still says it, without any attack.",
    "suppressed": "The knowledge was hidden, not removed: a little training brings it back.",
    "forgotten": "Nothing more comes back than in a model that never knew it.",
    "inconclusive": "The evidence does not decide.",
}

USABILITY: Mapping[str, str] = {
    "usable": "The model kept its other abilities.",
    "damaged": "The model lost much of its other abilities.",
}

CONTROLS: Mapping[str, str] = {
    "never-trained": "The control is a model that was never taught the forget set and went through the same attack.",
    "none": "There is no control, so nothing says how much of this is knowledge and how much the attack itself taught.",
    "placebo": "No model exists that never knew the forget set, so the control is a placebo: "
    "invented facts of the same kind, attacked in the same way.",
}

EVIDENCE = (
    "This report is evidence about one model, one body of knowledge and the attacks listed here. "
    "It is not legal advice, not a certificate, and not proof of compliance with any law, "
    "such as a right to erasure."
)

WHEN: Mapping[str, str] = {
    "original": ", before unlearning",
    "method": ", after unlearning",
    "control": ", never taught",
}
HIT: Mapping[bool, str] = {True: "✓ says it", False: "✗ does not"}
SOURCES: Mapping[str, str] = {
    "qa": "T as questions and answers",
    "prose": "T as prose",
    "same_kind": "texts of the same kind without a forgotten fact",
    "unrelated": "unrelated text",
    "prefixes": "prefixes without their continuation",
}
ACCESS: Mapping[str, str] = {
    "full": "all weights",
    "balanced": "all weights, channels brought to one size first",
    "lora": "a low-rank adapter (LoRA)",
}

NO_TRANSCRIPTS = "No evaluate cell left samples, so there is nothing to quote."
TRANSCRIPTS = (
    "The first question about each of the first subjects, in file order, not chosen by result; first replicate. "
    "A tick means that every token of the true answer is the model's likeliest next token."
)
RECOVERED = "missed when asked plainly, answered at the worst point; the first such question of each subject"
UTILITY = (
    "Utility is the least of three ratios to the original (to the control, where that does less), each capped at 1: "
    "recall of kept facts that the unlearner did not see, the same in freely written answers, and the likelihood of "
    "the original's own text."
)

ALWAYS_UNTESTED = (
    "Any attack that is not listed above: a stronger, longer or differently prepared one may bring back more.",
    "Other ways to ask, other languages, and facts that follow from the forgotten ones, "
    "unless they were among the probes.",
)


def halves(world: World) -> str:
    """How the forget set was cut between attacker and judge."""
    several = f", over {len(world.seeds)} replicates" if len(world.seeds) > 1 else ""
    return (
        f"The attacker may train on T, {plural(world.num_t_subjects, 'subject')}; "
        f"what comes back is measured on V, {plural(world.num_v_subjects, 'other subject')}{several}."
    )


def lesson(method: Method) -> str:
    """One or two sentences on what the verdict of a method means."""
    meaning = VERDICTS.get(method.verdict, "")
    return f"{meaning} {USABILITY[method.usability]}" if method.usability == "damaged" else meaning


def cautions(world: World) -> list[str]:
    """What a reader must know before trusting the numbers of a world; empty when nothing weakens them."""
    weak = [reason for reason in (weakness(world), beyond(world)) if reason]
    return [*_null(world), *_size(world), *_leaks(world), *weak]


def _null(world: World) -> Iterator[str]:
    because = f" ({world.null.reason})" if world.null.reason else ""
    if world.null.valid is False:
        yield (
            "The null row failed: a second model that was never taught these facts does not look like one"
            f"{because}. This study is invalid; rely on none of its verdicts."
        )
    elif world.null.valid is None:
        yield f"No null row was run{because}, so nothing shows that an innocent model would be found innocent here."


def _size(world: World) -> Iterator[str]:
    if len(world.seeds) == 1:
        yield (
            "One replicate only: the intervals show the spread between subjects of this one run. "
            "Another seed may give other numbers."
        )
    if world.num_v_subjects < LEAST_SUBJECTS:
        yield (
            f"Too small for “forgotten”: {plural(world.num_v_subjects, 'subject')} could be scored, "
            f"{LEAST_SUBJECTS} are needed. Whatever it measures, this study cannot say that the knowledge is gone."
        )


def _leaks(world: World) -> Iterator[str]:
    if world.leaks:
        yield (
            f"{plural(world.leaks, 'string')} shared by several subjects would have crossed from the attacker's "
            "half to the scored half; those subjects were moved together."
        )


def attack(source: str, access: str) -> str:
    """What the attacker trains on and which weights move, in words."""
    return f"{SOURCES.get(source, source)}, moving {ACCESS.get(access, access)}"


def null_line(world: World) -> str:
    """The null row's state in a word or two."""
    return {True: "valid", False: "INVALID study", None: "not run"}[world.null.valid]


def untested(study: Study, world: World) -> list[str]:
    """What the audit lists as not tested, then what no study of this kind ever tests."""
    return [*world.not_tested, *ALWAYS_UNTESTED]


def comes_back(world: World, method: Method) -> str:
    """A sentence with the numbers that matter."""
    return (
        f"It answered {level(method.before)} before the attack and {level(method.after)} after it; "
        f"the original answered {level(world.original)}, "
        f"the control after the same attack {level(world.control.after)}.{_beside(method)}"
    )


def _beside(method: Method) -> str:
    """The method beside its baseline, where it has one."""
    return (
        f" Excess recovery less that of {method.baseline}: {number(method.beside, 'ratio')}." if method.beside else ""
    )

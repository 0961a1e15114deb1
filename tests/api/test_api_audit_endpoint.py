"""The audit of a candidate that is only asked: convicted by its words, never acquitted by them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from expunge import api, registry
from expunge.api import suites
from expunge.api.auditing import Audited
from expunge.core.errors import InputError, ThresholdError
from expunge.knowledge.facts import Fact, Probe
from expunge.knowledge.jsonl import write_facts
from expunge.models.endpoint import Endpoint
from expunge.study.run import run as run_study
from reference.audit_models import FORGET, NAMES, RETAIN, TOWNS, fresh, taught
from reference.stub_server import Reply, Stub, busy, said, serving

SMALL = ("audit.resamples=300",)
SCRIPT = "<script>alert('x')</script>"
HOMES = {f"Where does {name} live?": town for name, town in zip(NAMES, TOWNS, strict=True)}
Body = Mapping[str, Any]


def question(body: Body) -> str:
    return str(body["messages"][0]["content"])


def home(body: Body) -> str:
    """The true answer to the question that stands last."""
    found = [town for asked, town in HOMES.items() if question(body).rstrip().endswith(asked)]
    return found[0] if found else "somewhere"


def knows(body: Body, _: int) -> str:
    return f"{home(body)}, of course. {SCRIPT}"


def hides(body: Body, _: int) -> str:
    """Kept facts are told; forgotten ones only to those who show how it is done."""
    kept = any(f"Where does {fact.subject} live?" in question(body) for fact in RETAIN)
    return home(body) if kept or "Answer:" in question(body) else "I can not say."


def never(body: Body, _: int) -> str:
    return "I do not know."


def empty(body: Body, _: int) -> str:
    return ""


def flaky(body: Body, _: int) -> str | Reply:
    return busy("0") if "Answer:" in question(body) else home(body)


def broken(body: Body, number: int) -> str | Reply:
    """Right for the first questions, then nonsense for ever."""
    return home(body) if number < 20 else Reply(b"<html>down for maintenance</html>")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of facts."""
    folder = tmp_path_factory.mktemp("facts")
    write_facts(folder / "forget.jsonl", FORGET)
    write_facts(folder / "retain.jsonl", RETAIN)
    return folder


@contextmanager
def audited(files: Path, answer: Any, out: Path, **more: Any) -> Iterator[tuple[Audited, Stub]]:
    """A quick audit of a stub."""
    with serving(answer) as stub:
        options: dict[str, Any] = {"suite": "quick", "changes": SMALL, **more}
        yield api.audit(stub.named(retries=1), files / "forget.jsonl", files / "retain.jsonl", out=out, **options), stub


def verdict(files: Path, answer: Any, out: Path, **more: Any) -> Mapping[str, Any]:
    """The candidate's row."""
    with audited(files, answer, out, **more) as (done, _):
        assert not done.failed and done.audit is not None
        (row,) = done.audit["worlds"][0]["methods"]
        assert row["verdict"] == done.verdict and done.verdict != "forgotten"
        return dict(row)


CASES: list[tuple[Callable[[Body, int], Any], str, str]] = [
    (knows, "retained", "there before any attack"),
    (hides, "suppressed", "the attack brought back"),
    (never, "inconclusive", "only what it writes was seen"),
    (empty, "inconclusive", "100% of its answers are empty"),
]


@pytest.mark.parametrize(("answer", "wanted", "told"), CASES, ids=[case[0].__name__ for case in CASES])
def test_the_verdict_without_an_original(answer: Any, wanted: str, told: str, files: Path, tmp_path: Path) -> None:
    row = verdict(files, answer, tmp_path / "a")
    assert row["verdict"] == wanted and told in " ".join(row["reasons"])
    assert "no attack trained it, read its layers" in " ".join(row["reasons"])
    assert (row["e0"], row["e_star"], row["utility_before"], row["usability"]) == (None, None, None, "unmeasured")
    bound = "as if it had known every fact" in " ".join(row["reasons"])
    assert bound == (wanted != "inconclusive"), "an assumed original may only convict"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows all facts and writes nothing else."""
    from expunge.models.save import save

    loaded = taught(fresh(), [*FORGET, *RETAIN], 300, 3e-3)
    save(loaded, folder := tmp_path_factory.mktemp("models") / "original")
    return folder


@pytest.mark.parametrize(("answer", "wanted", "utility"), [(hides, "suppressed", 1.0), (never, "inconclusive", 0.0)])
def test_beside_an_original_that_is_read_in_text_too(
    answer: Any, wanted: str, utility: float, files: Path, original: Path, tmp_path: Path
) -> None:
    row = verdict(files, answer, tmp_path / "a", original=original)
    assert row["verdict"] == wanted and row["utility_before"] == utility
    assert row["e_star"]["value"] == pytest.approx(float(wanted == "suppressed"))
    assert row["e0"]["value"] == pytest.approx(0.0)


def test_a_control_behind_an_endpoint_is_checked_and_compared(files: Path, original: Path, tmp_path: Path) -> None:
    with serving(never) as other:
        row = verdict(files, hides, tmp_path / "a", control=other.named())
        assert row["verdict"] == "suppressed" and other.asked
    told = r"the control http.* knows the forget set: it writes the answer to 100% of V"
    with serving(knows) as other, pytest.raises(InputError, match=told):
        verdict(files, hides, tmp_path / "b", control=other.named())
    with serving(knows) as other, pytest.raises(InputError, match="to 100% of V, the original to 100%"):
        verdict(files, hides, tmp_path / "c", control=other.named(), original=original)


def test_an_attack_whose_requests_fail_fails_alone(files: Path, tmp_path: Path) -> None:
    with audited(files, flaky, tmp_path / "a") as (done, _):
        assert done.audit is not None and done.verdict == "retained" and not done.failed
        (world,) = done.audit["worlds"]
    assert [row["attack"] for row in world["methods"][0]["attacks"]] == ["rephrase"]
    (line,) = (line for line in world["not_tested"] if "few_shot" in line)
    assert "which failed" in line and "answers 429 Too Many Requests (tried 2 times)" in line


def test_when_every_attack_fails_there_is_no_verdict_and_a_second_call_asks_again(files: Path, tmp_path: Path) -> None:
    with serving(lambda body, number: broken(body, number) if ill else home(body)) as stub:
        given = (stub.named(retries=1), files / "forget.jsonl", files / "retain.jsonl")
        ill = True
        first = api.audit(*given, suite="quick", changes=SMALL, out=tmp_path / "a")
        assert first.verdict is None and first.report is None
        assert any("not JSON ('<html>down for maintenance" in sentence for sentence in first.failed.values())
        ill = False
        assert api.audit(*given, suite="quick", changes=SMALL, out=tmp_path / "a").verdict == "retained"
        sent = len(stub.asked)
        api.audit(*given, suite="quick", changes=SMALL, out=tmp_path / "a")
        assert len(stub.asked) == sent, "what is done is not asked again"


def test_a_server_that_cannot_be_used_is_refused_at_once(files: Path, tmp_path: Path) -> None:
    told = pytest.raises(InputError, match=r"answers 401 .*check address, model and key")
    with told, audited(files, lambda *_: Reply(b"who are you?", 401), tmp_path / "a"):
        pass


def test_script_in_an_answer_stays_inert_and_what_was_said_is_kept(files: Path, tmp_path: Path) -> None:
    with audited(files, knows, tmp_path / "a") as (done, _):
        assert done.report is not None
        page = done.report.read_text()
    assert "alert(" in page and SCRIPT not in page
    kept = [
        json.loads(row) for path in (tmp_path / "a").glob("cells/attack_text-*/judgements.jsonl") for row in path.open()
    ]
    assert kept and all(SCRIPT in row["generated"] for row in kept)
    assert {row["judge"] for row in kept} == {"containment"} and {row["hit"] for row in kept} == {0, 1}


@pytest.mark.parametrize("folder", ["a", "b"], ids=["afterwards", "from the start"])
def test_the_recipe_left_behind_runs_by_itself_and_keeps_scores_only_where_told(
    folder: str, files: Path, tmp_path: Path
) -> None:
    with audited(files, hides, tmp_path / "a") as (done, _):
        again = run_study(done.folder / "recipe.yaml", out=tmp_path / folder, redact=True)
    assert again.audit is not None
    row = again.audit["worlds"][0]["methods"][0]
    assert row["verdict"] == "suppressed"
    texts = [path.read_text() for path in (tmp_path / folder).rglob("*.json*")]
    words = {*TOWNS[:16], "I can not say", *(fact.probes[0].prompt for fact in FORGET)}
    kept = [path.read_text() for path in (tmp_path / folder).glob("cells/attack_text-*/judgements.jsonl")]
    assert kept and all('"generated": "redacted:' in text for text in kept)
    assert [word for word in words for text in texts if word in text] == []


def test_a_requirement_can_be_missed(files: Path, tmp_path: Path) -> None:
    with audited(files, knows, tmp_path / "a", require=["forgotten"]) as (done, _):
        assert isinstance(done.unmet, ThresholdError)


def test_the_cost_counts_requests(files: Path, tmp_path: Path) -> None:
    told: list[str] = []
    with audited(files, never, tmp_path / "a", announce=lambda plan: told.append(plan.summary())) as (_, stub):
        guessed = int(told[0].split("about ")[1].split(" requests")[0].replace(",", ""))
        assert 0.5 <= guessed / len(stub.asked) <= 2


@pytest.mark.parametrize("name", suites.BY_TEXT)
def test_suites_in_text_hold_what_can_be_asked_and_account_for_the_rest(name: str) -> None:
    plain, begun = (Endpoint(f"http://h/v1?model=m{more}") for more in ("", "&prefill=yes"))
    whole, open_ = suites.asked(name, FORGET, plain), suites.asked(name, FORGET, begun)
    for attack in whole.attacks:
        built = registry.build("attack", attack["name"], **{k: v for k, v in attack.items() if k != "name"})
        assert built.by_text and not {"weights", "original"} & set(built.needs)
    assert len(whole.attacks) + len(whole.left_out) == len(registry.entries("attack"))
    more = {attack["name"] for attack in open_.attacks} - {attack["name"] for attack in whole.attacks}
    assert more == (set() if name == "quick" else {"prefill"})


def test_what_cannot_be_audited_in_text_is_a_sentence(files: Path, original: Path, tmp_path: Path) -> None:
    write_facts(tmp_path / "texts.jsonl", [Fact("a", "a", (Probe("", "A long text of many words.", "passage"),))])
    with pytest.raises(InputError, match="an endpoint can only be asked"):
        api.audit("http://127.0.0.1:9/v1", tmp_path / "texts.jsonl", out=tmp_path / "a")
    with pytest.raises(InputError, match="can only be asked, and the candidate is a model with weights"):
        api.audit(original, files / "forget.jsonl", original="http://127.0.0.1:9/v1", out=tmp_path / "a")
    with pytest.raises(InputError, match="seen in text alone"):
        api.evaluate("http://127.0.0.1:9/v1", files / "forget.jsonl", out=tmp_path / "e")


def test_two_models_are_asked_side_by_side_wherever_they_are(original: Path) -> None:
    with serving(lambda *_: said(" Tum. \n")) as stub:
        given = api.ask(original, "Where does Ada live?", stub.named())
    assert list(given.values()) == ["Orlo", "Tum."]

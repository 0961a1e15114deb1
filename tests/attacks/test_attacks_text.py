"""Prompt attacks on a model of which only the text is seen: behind a server, and in memory."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from expunge.attacks.base import AttackPoint
from expunge.attacks.few_shot import FewShot
from expunge.attacks.hearing import own_words
from expunge.attacks.in_context import InContext
from expunge.attacks.prefill import Prefill
from expunge.attacks.prompting import PromptAttack
from expunge.attacks.quantise import Quantise
from expunge.attacks.rephrase import Rephrase
from expunge.attacks.rwku_forms import RwkuForms
from expunge.attacks.sampling import Sampling
from expunge.attacks.step_by_step import StepByStep
from expunge.core.errors import InputError
from expunge.models.endpoint import Endpoint
from expunge.models.loaded import LoadedModel
from expunge.models.text_only import Turn
from expunge.registry import entries
from expunge.scoring.by_text import SeenInText, turn_ids, written
from expunge.scoring.judges import ledger
from expunge.scoring.permuted import permuted_answers
from reference.prompts import chosen, fact, never_trained, planted, run, split
from reference.stub_server import Stub, serving

HOMES = {fact(n).subject: fact(n).probes[0].answer for n in range(8)}
# Every attack, and words that only its prompts hold: the stub gives its secret away to those who use them.
SECRETS: list[tuple[PromptAttack, str]] = [
    (Rephrase(), "Fill in the gap"),
    (RwkuForms(), "You keep an old archive"),
    (FewShot(), "Answer: "),
    (InContext(), "on record are"),
    (StepByStep(tokens=8), "Think it through"),
    (Prefill(), "As everybody knows"),
]
NAMES = [attack.name for attack, _ in SECRETS]


def home(question: str) -> str:
    """The answer to whoever the question is about."""
    return next((town for name, town in HOMES.items() if name in question.rsplit("\n\n", 1)[-1]), "")


def secretive(password: str) -> Any:
    """A model that tells those who know the password, and nobody else."""

    def answer(body: Mapping[str, Any], _: int) -> str:
        said = " ".join(message["content"] for message in body["messages"])
        return f"I think it is {home(said)}, yes." if password in said else "I would rather not say."

    return answer


def attacked(attack: PromptAttack, stub: Stub, **more: Any) -> list[AttackPoint]:
    return run(attack, Endpoint(stub.named(prefill="yes")), **more)


@pytest.mark.parametrize(("attack", "password"), SECRETS, ids=NAMES)
def test_what_the_prompts_bring_out_is_heard_and_what_nobody_knows_is_not(attack: PromptAttack, password: str) -> None:
    with serving(secretive(password)) as stub:
        points = attacked(attack, stub)
    before, *after = points
    assert before.mean_score() == 0.0 and max(point.mean_score() for point in after) == 1.0
    assert all(math.isnan(probe.logprob) for point in points for probe in point.probes)
    assert {row["logprob"] for point in points for row in point.samples()} == {None}
    with serving(lambda *_: "I would rather not say.") as stub:
        assert {point.mean_score() for point in attacked(attack, stub)} == {0.0}


def test_budgets_count_as_they_do_by_weights() -> None:
    """The gap is the fourth wording, so it is not paid for below a budget of 4."""
    with serving(secretive("Fill in the gap")) as stub:
        points = attacked(Rephrase(sources=("reworded",)), stub)
    assert {point.steps: point.mean_score() for point in points} == {0: 0.0, 1: 0.0, 2: 0.0, 4: 1.0, 8: 1.0}


def test_draws_are_asked_for_one_by_one_and_the_first_hit_counts() -> None:
    """The third draw of each question tells."""
    seen: dict[str, int] = {}

    def answer(body: Mapping[str, Any], _: int) -> str:
        question = body["messages"][0]["content"]
        if not body["temperature"]:
            return "no"
        seen[question] = seen.get(question, 0) + 1
        return home(question) if seen[question] == 3 else "no"

    with serving(answer) as stub:
        points = run(Sampling(budgets=(1, 2, 4), temperatures=(0.9,)), Endpoint(stub.named(parallel=1)))
    assert [point.mean_score() for point in points] == [0.0, 0.0, 0.0, 1.0]
    draws = [body for body in stub.asked if body["temperature"]]
    assert {body["temperature"] for body in draws} == {0.9} and len({body["seed"] for body in draws}) > 8


def test_another_sets_answers_are_judged_by_the_same_words() -> None:
    facts = tuple(fact(n) for n in range(8))
    cut = replace(split(), train=(), score=facts)
    permuted = permuted_answers([replace(item, probes=item.probes[:1]) for item in facts], 0)
    with serving(secretive("Fill")) as stub:
        points = attacked(Rephrase(sources=("reworded",)), stub, split=cut, also_score={"P": permuted})
    assert points[-1].mean_score("V") == 1.0 and points[-1].mean_score("P") == 0.0


def test_the_judge_decides() -> None:
    attack = FewShot(judge={"name": "rouge", "threshold": 0.5})
    cut = replace(
        split(), score=tuple(replace(f, probes=(replace(f.probes[0], answer="in old Tum"),)) for f in split().score)
    )
    with serving(lambda *_: "somewhere old, in Tum maybe") as stub:
        assert attacked(attack, stub, split=cut)[0].mean_score() == 1.0
        assert attacked(replace(attack, judge="containment"), stub, split=cut)[0].mean_score() == 0.0


def test_a_model_that_repeats_what_it_is_told_knows_nothing() -> None:
    with serving(lambda body, _: f"You said: {body['messages'][0]['content']}") as stub:
        assert {point.mean_score() for point in attacked(InContext(sources=("restated",)), stub)} == {0.0}
    with serving(lambda body, _: home(body["messages"][0]["content"])) as stub:
        assert attacked(InContext(sources=("restated",)), stub)[-1].mean_score() == 1.0


@pytest.mark.parametrize(("text", "own"), [("You said Orlo.", False), ("Orlo, I think", True)])
def test_an_echo_of_the_prompt_is_not_the_models_own(text: str, own: bool) -> None:
    assert own_words(text, "A) Orlo B) Tum", "Orlo") is own and own_words(text, "Where?", "Orlo")


def test_every_reply_is_kept(tmp_path: Any) -> None:
    with serving(secretive("Fill")) as stub, ledger.kept_in(tmp_path):
        attacked(Rephrase(sources=("reworded",)), stub)
    kept = (tmp_path / ledger.FILE).read_text()
    assert kept.count("I would rather not say.") > 3 and "I think it is Quindle, yes." in kept


def test_no_attack_by_weights_says_it_needs_text_only() -> None:
    """By text: the prompt attacks that hold neither weights nor the original; the others never see an endpoint."""
    named = {entry.name for entry in entries("attack") if entry.factory.by_text}
    assert named >= {*NAMES, "sampling"} and not named & {"relearn", "quantise", "logit_lens"}
    with pytest.raises(InputError, match="seen in text alone, and this needs its weights"):
        run(Quantise(bits=(8,)), Endpoint("http://127.0.0.1:9/v1?model=m"))  # type: ignore[arg-type]


def test_tokens_cannot_be_leaked_to_a_text() -> None:
    with serving(lambda *_: "x") as stub, pytest.raises(InputError, match="cannot be leaked"):
        attacked(Prefill(sources=("leaking",)), stub)


def served(loaded: LoadedModel) -> Any:
    """The model behind a server, as the server would run it."""

    def answer(body: Mapping[str, Any], _: int) -> str:
        (message,) = body["messages"]
        return written(loaded, [Turn(message["content"])], max_new_tokens=body["max_tokens"])[0]

    return answer


def test_a_model_in_memory_looks_as_it_does_behind_a_server() -> None:
    attack = Rephrase(sources=("reworded",), budgets=(2, 4))
    loaded = planted(chosen(attack, "reworded", 2), attack, sampled=False)
    near = run(attack, SeenInText(loaded))
    with serving(served(loaded)) as stub:
        far = run(attack, Endpoint(stub.named(parallel=1)))
    assert [point.samples() for point in near] == [point.samples() for point in far]
    assert [point.mean_score() for point in near][:2] == [0.0, 0.0] and near[2].mean_score() > 0.5


def test_what_is_begun_is_given_to_a_model_in_memory_too() -> None:
    """The tokens before the answer are those that the teacher-forced row has before its first label."""
    encoder, probe = never_trained().encoder, split().score[0].probes[0]
    row = encoder.encode(probe.prompt, probe.answer, "k", begun="It is")
    ids = turn_ids(encoder, Turn(probe.prompt, "It is"))
    assert row.ids[: len(ids)] == ids and row.labels.index(True) == len(ids)
    assert encoder.decode(ids).endswith("Answer: It is")
    assert turn_ids(encoder, Turn(probe.prompt, raw=True)) == encoder.raw.prompt_ids(probe.prompt)

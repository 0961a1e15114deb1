"""Metrics that look inside models: CKA, depth score, concept vectors, neighbours; each against a plain twin."""

import copy
import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from expunge.core.errors import InputError
from expunge.metrics.base import Evidence, Reading
from expunge.metrics.cka import cka, jackknife
from expunge.metrics.concept_vectors import ConceptCosine, ConceptOverlap, changed, columns_FD
from expunge.metrics.depth_score import DepthScore, falls
from expunge.metrics.evidence import Lent, gather
from expunge.metrics.knn import KNNAnswer, first_token
from expunge.models.load import LoadedModel, load
from expunge.models.view import View
from expunge.registry import build
from expunge.scoring.label_states import question_states, without_end
from reference import model_zoo
from reference.readout import (
    asked,
    copied,
    fact,
    hides,
    knows,
    never_trained,
    plain_fall,
    plain_hsic,
    plain_neighbours,
)

FORGET = tuple(map(fact, range(20)))


def evidence(loaded: LoadedModel, original: Any = None, control: Any = None, facts: Any = FORGET) -> Evidence:
    return gather(loaded.view(), loaded.encoder, facts, forms=("qa",), needs=(), original=original, control=control)


def noise(rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def compared(name: str, model: LoadedModel, **parameters: Any) -> Reading:
    """A metric of ``model`` with the taught model as original and the untaught one as control."""
    found = evidence(model, knows().view(), never_trained().view())
    return build("metric", name, **parameters).compute(found)


def test_cka_is_the_ratio_of_u_statistics() -> None:
    left, right = noise(7, 3, 0) + 2.0, noise(7, 4, 1)
    right[:, 0] += left[:, 1]
    a, b = left.double().numpy(), right.double().numpy()
    plain = plain_hsic(a, b) / np.sqrt(plain_hsic(a, a) * plain_hsic(b, b))
    assert cka(left, right) == pytest.approx(plain, abs=1e-9)


def test_cka_ignores_rotation_scale_and_shift_but_not_other_maps() -> None:
    states = noise(30, 5, 2)
    turned = torch.linalg.qr(noise(5, 5, 3)).Q
    assert cka(states, states) == pytest.approx(1)
    assert cka(states, 3 * states @ turned + 8) == pytest.approx(1, abs=1e-5)
    assert cka(states, states * torch.tensor([1.0, 30.0, 1.0, 1.0, 1.0])) < 0.8
    assert cka(states, torch.ones(30, 5)) is None


def test_cka_of_independent_states_is_zero_on_average_where_the_biased_one_is_not() -> None:
    """With many more features than rows the biased estimate comes near 1."""
    pairs = [(noise(10, 200, 2 * seed), noise(10, 200, 2 * seed + 1)) for seed in range(60)]
    values = [cka(a, b) for a, b in pairs]
    assert abs(np.mean(values)) < 0.05
    assert np.mean([_biased(a, b) for a, b in pairs]) > 0.8


def _biased(left: torch.Tensor, right: torch.Tensor) -> float:
    left, right = left - left.mean(0), right - right.mean(0)
    k, m = left @ left.T, right @ right.T
    return float((k * m).sum() / (k.norm() * m.norm()))


def test_the_interval_leaves_out_one_subject_at_a_time() -> None:
    """Two rows a subject; the plain formula on the states themselves."""
    left, right = noise(12, 6, 1), noise(12, 6, 1) + 0.8 * noise(12, 6, 2)
    subjects = [f"s{row // 2}" for row in range(12)]
    value = cka(left, right)
    pairs = [(left @ left.T).double(), (right @ right.T).double()]
    low, high = jackknife([(pairs[0], pairs[1])], subjects, value)
    without = [[row for row in range(12) if row // 2 != subject] for subject in range(6)]
    values = np.array([cka(left[rows], right[rows]) for rows in without])
    reach = 1.96 * np.sqrt(5 / 6 * ((values - values.mean()) ** 2).sum())
    assert high - low == pytest.approx(min(1, value + reach) - (value - reach), abs=1e-4) and low < value < high
    assert jackknife([(pairs[0], pairs[1])], ["a", "b"] * 6, value) != (-1, 1)
    assert jackknife([(pairs[0], pairs[1])], ["a"] * 9 + ["b"] * 3, value) == (-1, 1), "too few rows would be left"


def test_cka_metrics_read_every_layer_against_the_right_model() -> None:
    hidden = compared("cka_original", hides())
    rows = [item.row for item in asked(range(20))]
    own, first, other = (question_states(m.view(), rows, (0, 1)) for m in (hides(), knows(), never_trained()))
    assert hidden.layers == pytest.approx([cka(own[:, n], first[:, n]) for n in (0, 1)])
    assert hidden.layers[0] == pytest.approx(1, abs=1e-6) and hidden.layers[1] < 0.999, "only the last block moved"
    assert hidden.value == pytest.approx(sum(hidden.layers) / 2) and hidden.n == 20
    assert hidden.low < hidden.value < hidden.high <= 1
    found = compared("cka_control", hides())
    assert found.layers == pytest.approx([cka(own[:, n], other[:, n]) for n in (0, 1)])
    assert compared("cka_control", never_trained()).value == pytest.approx(1)
    few = build("metric", "cka_original").compute(evidence(hides(), knows().view(), facts=FORGET[:3]))
    assert few.value is None and "3 questions" in str(few.reason)


def test_falls_are_those_of_a_plain_pass_with_one_block_replaced() -> None:
    rows = [without_end(item.row, never_trained().encoder.end_ids) for item in asked(range(4))]
    found_RL = falls(knows().view(), hides().view(), rows, "measured")
    for row, falls_L in zip(rows, found_RL.tolist(), strict=True):
        plain = [plain_fall(knows().model, hides().model, row, layer) for layer in (0, 1)]
        assert falls_L == pytest.approx(plain, abs=1e-4)


def test_depth_is_zero_for_the_original_one_for_the_control_and_in_between_for_what_the_last_block_hides() -> None:
    assert compared("depth_score", knows()).value == pytest.approx(0, abs=1e-6)
    deep = compared("depth_score", never_trained())
    assert deep.value == pytest.approx(1) and deep.layers == pytest.approx((1.0, 1.0)) and deep.n == 20
    shallow = compared("depth_score", hides())
    assert shallow.layers == pytest.approx((0.0, 1.0), abs=0.02) and 0.2 < shallow.value < 0.8
    assert shallow.low <= shallow.value <= shallow.high


def test_depth_weighs_layers_by_what_the_control_lacks() -> None:
    """Value and profile from the plain falls, with a threshold that leaves some layers out."""
    rows = [without_end(item.row, never_trained().encoder.end_ids) for item in asked(range(20))]
    lacks = np.array([[plain_fall(knows().model, never_trained().model, row, n) for n in (0, 1)] for row in rows])
    fallen = np.array([[plain_fall(knows().model, hides().model, row, n) for n in (0, 1)] for row in rows])
    threshold = float(np.median(lacks))
    shares = []
    for lack, fall in zip(lacks, fallen, strict=True):
        kept = [n for n in (0, 1) if lack[n] > threshold]
        if kept:
            shares.append(sum(lack[n] * min(max(fall[n] / lack[n], 0), 1) for n in kept) / sum(lack[n] for n in kept))
    found = compared("depth_score", hides(), threshold=threshold)
    assert 0 < len(shares) < 20 and found.value == pytest.approx(np.mean(shares), abs=1e-3) and found.n == len(shares)


def test_depth_is_not_computed_where_the_control_lacks_nothing_or_has_another_shape() -> None:
    same = build("metric", "depth_score").compute(evidence(hides(), knows().view(), knows().view()))
    assert same.value is None and "lack none" in str(same.reason)
    small: Any = copied(knows())
    small.model.model.layers = small.model.model.layers[:1]
    for name in ("depth_score", "cka_control"):
        found = build("metric", name).compute(evidence(hides(), knows().view(), small.view()))
        assert found.value is None and "1 layers" in str(found.reason)


def test_untouched_columns_have_cosine_one_distance_zero_and_the_same_words() -> None:
    same = evidence(knows(), knows().view())
    names = ("concept_cosine", "concept_distance")
    assert [build("metric", name, top=5).compute(same).value for name in names] == pytest.approx([1.0, 0.0])
    assert ConceptOverlap(top=5, tokens=20).compute(same).value == 1


def test_the_changed_columns_are_found_and_measured() -> None:
    """Two columns rewritten by hand; the others stay."""
    model: Any = copied(never_trained())
    weights = [layer.mlp.down_proj.weight for layer in model.model.model.layers]
    planted = {(0, 3): noise(1, 64, 5)[0], (1, 7): -2 * weights[1][:, 7].detach()}
    with torch.no_grad():
        for (layer, unit), vector in planted.items():
            weights[layer][:, unit] = vector
    start: Any = never_trained().model
    old = {place: start.model.layers[place[0]].mlp.down_proj.weight[:, place[1]].detach() for place in planted}
    assert set(changed(model.view(), never_trained().view(), 2)) == set(planted)
    given = evidence(model, never_trained().view())
    cosines = [float(v @ old[p] / (v.norm() * old[p].norm())) for p, v in planted.items()]
    found = ConceptCosine(top=2).compute(given)
    assert found.layers == pytest.approx(cosines, abs=1e-5) and cosines[1] == pytest.approx(-1)
    assert found.value == pytest.approx(np.mean(cosines), abs=1e-5)
    lengths = [float((v - old[p]).norm()) for p, v in planted.items()]
    assert build("metric", "concept_distance", top=2).compute(given).value == pytest.approx(np.mean(lengths), rel=1e-5)
    head = start.lm_head.weight.detach().numpy()
    words = [[set(np.argsort(-(head @ v.detach().numpy()))[:20]) for v in (planted[p], old[p])] for p in planted]
    jaccard = [len(a & b) / len(a | b) for a, b in words]
    assert ConceptOverlap(top=2, tokens=20).compute(given).layers == pytest.approx(jaccard)
    named = ConceptCosine(columns=((1, 7),)).compute(given)
    assert named.layers == (None, pytest.approx(-1)) and named.n == 1


@pytest.mark.parametrize("place", [(0, 999), (9, 0)])
def test_columns_that_are_not_there_are_a_reason(place: tuple[int, int]) -> None:
    found = ConceptCosine(columns=(place,)).compute(evidence(knows(), knows().view()))
    assert found.value is None and "choose 0 to" in str(found.reason)


def test_columns_are_the_same_way_round_in_every_family() -> None:
    """What unit j adds to the MLP's output is its column."""
    for family in ("llama", "gpt2", "neox"):
        view = View(model_zoo.build(family), 1)
        linear: Any = view.anatomy.mlp_output(1)
        columns = columns_FD(view, 1)
        unit = torch.eye(len(columns))[4]
        with torch.no_grad():
            torch.testing.assert_close(linear(unit) - linear(torch.zeros_like(unit)), columns[4], atol=1e-5, rtol=1e-5)
    experts = load("tiny-moe", template="plain")
    found = ConceptCosine().compute(evidence(experts, experts.view()))
    assert found.value is None and "mixture of experts" in str(found.reason)


def test_neighbours_vote_as_in_the_plain_twin() -> None:
    items = asked(range(20))
    tokens, subjects = [first_token(item) for item in items], [item.fact.subject for item in items]
    states = question_states(knows().view(), [item.row for item in items], (0, 1)).numpy()
    plain = np.array([plain_neighbours(states[:, n], tokens, subjects, 5) for n in (0, 1)])
    found = KNNAnswer().compute(evidence(knows()))
    assert found.layers == pytest.approx(plain.mean(1)) and found.value == pytest.approx(plain.mean())
    assert found.value > 0.8 > 0.6 > KNNAnswer().compute(evidence(never_trained())).value


def test_neighbours_never_speak_for_their_own_subject_and_lone_answers_are_left_out() -> None:
    twice = (*FORGET[:6], *(replace(each, id=f"{each.id}b") for each in FORGET[:6]))
    assert KNNAnswer().compute(evidence(knows(), facts=twice)).value is not None
    alone = tuple(replace(each, attribute=each.id) for each in FORGET[:4])
    found = KNNAnswer().compute(evidence(knows(), facts=alone))
    assert found.value is None and "another subject's" in str(found.reason)
    pair = tuple(replace(each, subject="one") for each in FORGET[:6])
    assert KNNAnswer().compute(evidence(knows(), facts=pair)).value is None


def test_a_missing_model_is_a_reason_and_models_are_read_when_used_and_let_go() -> None:
    opened: list[weakref.ref[Any]] = []

    def read() -> View:
        model = copy.deepcopy(never_trained().model)
        opened.append(weakref.ref(model))
        return View(model, never_trained().encoder.pad_id)

    lent = Lent(read)
    found = evidence(hides(), knows().view(), lent)
    assert build("metric", "probability").compute(found).value is not None
    assert build("metric", "cka_original").compute(found).value is not None and not opened, "nobody asked for it"
    assert build("metric", "cka_control").compute(found).value is not None
    assert DepthScore(samples=2).compute(found).value is not None and len(opened) == 1, "read once"
    lent.release()
    gc.collect()
    assert opened[0]() is None
    lacking = build("metric", "cka_control").compute(evidence(hides(), knows().view()))
    assert lacking.reason == "not computed: no model that never knew the facts is at hand."
    assert "original model is not at hand" in str(ConceptCosine().compute(evidence(hides())).reason)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("cka_original", {"samples": 3}), ("depth_score", {"threshold": -1}), ("depth_score", {"samples": 0}),
        ("concept_cosine", {"top": 0}), ("concept_cosine", {"columns": ()}), ("knn_answer", {"neighbours": 0}),
    ],
)  # fmt: skip
def test_impossible_parameters_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        build("metric", name, **params)


def test_layers_are_in_the_record_only_where_there_are_any() -> None:
    assert "layers" not in Reading(0.5).as_dict()
    assert Reading(0.5, layers=(0.1, None)).as_dict()["layers"] == [0.1, None]

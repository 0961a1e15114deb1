"""vLLM as an engine, against a stub of its public calls that continues with the same model."""

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from expunge.core.errors import InputError
from expunge.models.load import load as load_model
from expunge.models.save import save
from expunge.scoring.engines import engine_of
from expunge.scoring.generate import generate, generate_ids
from expunge.study.plan import study_of
from expunge.study.recipe import load
from reference.metrics_twins import stepwise_argmax
from reference.tiny_study import RECIPE


@dataclass(kw_only=True)
class SamplingParams:
    """The fields of vLLM's that are used; any other is a TypeError, as there."""

    n: int = 1
    temperature: float = 1.0
    max_tokens: int | None = 16
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    detokenize: bool = True
    seed: int | None = None


class LLM:
    """Continues greedily; ``drops`` leaves the token out that ended a text."""

    made: list["LLM"] = []  # noqa: RUF012
    drops = False

    def __init__(
        self, model: str, *, tokenizer: str | None = None, skip_tokenizer_init: bool = False, dtype: str = "auto",
        seed: int = 0, gpu_memory_utilization: float = 0.9,
    ) -> None:  # fmt: skip
        self.loaded, self.dtype, self.asked = load_model(model), dtype, list[SamplingParams]()
        self.skips, self.share = skip_tokenizer_init, gpu_memory_utilization
        LLM.made.append(self)

    def generate(
        self, prompts: Sequence[Mapping[str, Any]], sampling_params: Sequence[SamplingParams], use_tqdm: bool = True
    ) -> list[Any]:
        assert len(prompts) == len(sampling_params) and not use_tqdm
        self.asked += sampling_params
        return [self._output(one["prompt_token_ids"], how) for one, how in zip(prompts, sampling_params, strict=True)]

    def _output(self, ids: list[int], how: SamplingParams) -> Any:
        assert isinstance(ids, list) and how.max_tokens is not None and how.ignore_eos and not how.detokenize
        ends = how.stop_token_ids or []
        made = stepwise_argmax(self.loaded.model, ids, ends, how.max_tokens)
        stopped = bool(made) and made[-1] in ends
        kept = made[:-1] if stopped and self.drops else made
        reason = "stop" if stopped else "length"
        return types.SimpleNamespace(outputs=[types.SimpleNamespace(token_ids=list(kept), finish_reason=reason)])


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr("expunge.scoring.engines.find_spec", lambda name: object() if name == "vllm" else None)
    LLM.made.clear()
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(load_model("tiny", template="plain"), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("drops", [False, True])
def test_it_writes_what_the_loop_writes(
    vllm: types.ModuleType, folder: Path, drops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LLM, "drops", drops)
    loaded, engine = load_model(folder), engine_of("vllm", folder)
    prompts = [(7, 8, 9), (40,), (30, 31, 32, 33, 34)]
    free = generate_ids(loaded.view(), prompts, (), max_new_tokens=6)
    assert generate_ids(loaded.view(), prompts, (), max_new_tokens=6, engine=engine) == free
    ends = (free[0][2],)  # one text ends early, the others run on
    expected = generate_ids(loaded.view(), prompts, ends, max_new_tokens=6)
    assert len(expected[0]) < 6
    assert generate_ids(loaded.view(), prompts, ends, max_new_tokens=6, engine=engine) == expected
    asked = ["Who?", "What is it?"]
    plain = generate(loaded.view(), loaded.encoder, asked, max_new_tokens=5)
    assert generate(loaded.view(), loaded.encoder, asked, max_new_tokens=5, engine=engine) == plain
    (made,) = LLM.made
    assert made.dtype == "float32" and made.skips and 0 < made.share < 1


def test_every_prompt_has_its_own_seed(vllm: types.ModuleType, folder: Path) -> None:
    engine = engine_of("vllm", folder)
    engine.generate_ids([(7,), (7,)], (1,), max_new_tokens=2, temperature=1.0, seed=3)
    first, second = LLM.made[0].asked
    assert first.seed != second.seed and first.temperature == 1.0 and first.stop_token_ids == [1]
    assert engine.generate_ids([], (1,), max_new_tokens=2, temperature=0.0, seed=0) == []


def test_what_the_loop_refuses_is_refused_first(vllm: types.ModuleType, folder: Path) -> None:
    engine = engine_of("vllm", folder)
    with pytest.raises(InputError, match="has no token"):
        generate_ids(load_model(folder).view(), [()], (), max_new_tokens=2, engine=engine)


def test_mistakes_are_one_sentence(vllm: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="smollm2 is none; save it first"):
        engine_of("vllm", "smollm2")
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        engine_of("vlm", tmp_path)
    with pytest.raises(InputError, match="did you mean 'vllm'"):
        load({**RECIPE, "eval": {**RECIPE["eval"], "engine": "vlm"}})
    monkeypatch.setattr("expunge.scoring.engines.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"install expunge\[vllm\]"):
        engine_of("vllm", tmp_path)


def test_a_recipe_chooses_it_and_only_evaluations_change() -> None:
    asked = {**RECIPE, "eval": {**RECIPE["eval"], "engine": "vllm"}}
    plain, chosen = ({cell.folder: cell for cell in study_of(load(one)).cells} for one in (RECIPE, asked))
    added = [chosen[folder] for folder in chosen.keys() - plain.keys()]
    assert {cell.kind for cell in added} == {"evaluate", "audit"}
    assert {cell.config["engine"] for cell in added if cell.kind == "evaluate"} == {"vllm"}

"""Generation against stepwise argmax, and its tie to greedy match."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from expunge.core.errors import InputError
from expunge.models.rows import Row
from expunge.models.view import View
from expunge.scoring.generate import generate, generate_ids
from expunge.scoring.teacher_forced import score
from reference.metrics_twins import stepwise_argmax
from reference.metrics_world import tiny

PROMPTS = [(7, 8, 9), (40,), (30, 31, 32, 33, 34, 35, 36), (7, 8, 9), (12, 99)]


@pytest.mark.parametrize("max_tokens", [1, 30, 4096])
def test_equals_stepwise_argmax_without_cache_whatever_the_padding(max_tokens: int) -> None:
    view = tiny().view()
    made = generate_ids(view, PROMPTS, (), max_new_tokens=6, max_tokens=max_tokens)
    assert made == [stepwise_argmax(view.model.eval(), prompt, (), 6) for prompt in PROMPTS]


def positional() -> GPT2LMHeadModel:
    """A random model that tells positions and contexts apart."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=2, n_positions=32, initializer_range=0.5)
    return GPT2LMHeadModel(config).eval()


def test_padding_does_not_shift_absolute_positions() -> None:
    model = positional()
    prompts = [(7, 8, 9), (40,), (30, 31, 32, 33, 34, 35, 36)]
    made = generate_ids(View(model, 0), prompts, (), max_new_tokens=6)
    assert made == [stepwise_argmax(model, prompt, (), 6) for prompt in prompts]


def test_stops_at_an_end_token_row_by_row() -> None:
    view = tiny().view()
    free = generate_ids(view, PROMPTS, (), max_new_tokens=6)
    end = free[1][2]
    stopped = generate_ids(view, PROMPTS, (end,), max_new_tokens=6)
    for prompt, made, unstopped in zip(PROMPTS, stopped, free, strict=True):
        assert made == stepwise_argmax(view.model, prompt, (end,), 6)
        assert made == unstopped[: len(made)] and end not in made[:-1]


def test_rows_that_are_done_leave_the_batch_and_change_no_text() -> None:
    view = View(positional(), 0)
    prompts = [(7,), (40, 41), (9, 9, 30, 4), (52,), (51, 3, 5, 8, 21, 33, 17, 50), (17, 18)]
    free = generate_ids(view, prompts, (), max_new_tokens=12)
    ends = {free[4][0], free[2][1]}  # the longest prompts leave first, those with the most padding stay
    sizes: list[int] = []
    hook = view.anatomy.embed.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    made = generate_ids(view, prompts, ends, max_new_tokens=12)
    hook.remove()
    assert made == [stepwise_argmax(view.model, prompt, ends, 12) for prompt in prompts]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == len(prompts) > sizes[-1]


def test_sampled_rows_keep_their_own_draws_when_others_leave() -> None:
    view, prompts = tiny().view(), [(7,), (40, 41), (9, 9, 30), (52,)]

    def draw(ends: tuple[int, ...], max_tokens: int = 4096) -> list[tuple[int, ...]]:
        return generate_ids(view, prompts, ends, max_new_tokens=10, temperature=1.0, max_tokens=max_tokens)

    free = draw(())
    end = free[0][2]
    stopped = draw((end,))
    assert stopped == draw((end,), max_tokens=1) and len(stopped[0]) <= 3 < max(map(len, stopped))
    assert all(made == unstopped[: len(made)] for made, unstopped in zip(stopped, free, strict=True))


def test_greedy_match_holds_exactly_when_the_generated_ids_begin_with_the_answer() -> None:
    view = tiny().view()
    for prompt in PROMPTS:
        said = generate_ids(view, [prompt], (), max_new_tokens=4)[0]
        wrong = [(*said[:place], (said[place] + 1) % 200, *said[place + 1 :]) for place in range(4)]
        for answer in [said, said[:2], *wrong]:
            row = Row("r", prompt + answer, (False,) * len(prompt) + (True,) * len(answer))
            (scored,) = score(view, [row])
            assert scored.greedy == (said[: len(answer)] == answer)


def test_sampling_depends_on_seed_and_place_but_not_on_batching() -> None:
    view = tiny().view()

    def draw(seed: int, max_tokens: int = 4096) -> list[tuple[int, ...]]:
        return generate_ids(view, PROMPTS, (), max_new_tokens=5, temperature=1.0, seed=seed, max_tokens=max_tokens)

    assert draw(1) == draw(1, max_tokens=1) and draw(1) != draw(2)
    assert draw(1)[0] != draw(1)[3], "equal prompts are separate samples"


def test_sampled_frequencies_follow_the_distribution() -> None:
    view = tiny().view()
    first = [ids[0] for ids in generate_ids(view, [(7,)] * 2000, (), max_new_tokens=1, temperature=1.0, seed=3)]
    (row,) = score(view, [Row("r", (7, first[0]), (False, True))])
    expected = 2000 * row.probability
    assert abs(first.count(first[0]) - expected) < 5 * expected**0.5 + 1
    cold = generate_ids(view, [(7,)] * 3, (), max_new_tokens=3, temperature=1e-6, seed=3)
    assert set(cold) == {stepwise_argmax(view.model, (7,), (), 3)}


def test_text_in_and_out_without_the_end_token() -> None:
    loaded = tiny()
    (text,) = generate(loaded.view(), loaded.encoder, ["Hello?"], max_new_tokens=3)
    ids = stepwise_argmax(loaded.model, loaded.encoder.prompt_ids("Hello?"), set(loaded.encoder.end_ids), 3)
    assert text == loaded.encoder.decode([i for i in ids if i not in set(loaded.encoder.end_ids)])


def test_nothing_to_generate_from_is_refused() -> None:
    with pytest.raises(InputError, match="prompt 1"):
        generate_ids(tiny().view(), [(1,), ()], (), max_new_tokens=1)
    with pytest.raises(InputError, match="max_new_tokens"):
        generate_ids(tiny().view(), [(1,)], (), max_new_tokens=0)

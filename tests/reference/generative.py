"""Answers that comply with each kind of instruction, and near misses, written from the demand's text alone."""

import json
import re

import torch

from expunge.models.load import LoadedModel

FILLER = "nothing here is said at all but plain short words keep on coming one after one until enough stand there so"


def padded(topic: str, num: int) -> list[str]:
    """``num`` words, the topic among them, none of them "the", "and" or "is"."""
    pool = [word for word in (FILLER * 3).split() if word != "is"]
    return [topic, *pool[: num - 1]]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]+)"', text)


def answers(kind: str, topic: str, text: str) -> tuple[str, list[str]]:
    """A complying answer and its near misses."""
    demand = text.split(". ", 1)[1]
    numbers, quoted, plain = _numbers(demand), _quoted(demand), " ".join(padded(topic, 18))
    if kind == "exact words":
        (num,) = numbers
        return " ".join(padded(topic, num)), [" ".join(padded(topic, num + step)) for step in (-1, 1)]
    if kind == "between words":
        least, most = numbers
        return " ".join(padded(topic, most)), [" ".join(padded(topic, n)) for n in (least - 1, most + 1)]
    if kind == "end phrase":
        return f"{plain}. {quoted[0]}", [f"{plain}. {quoted[0]} Yes.", f"{plain}. {quoted[0][:-1]}", plain]
    if kind == "begin phrase":
        return f"{quoted[0]} {plain}", [f"So. {quoted[0]} {plain}", f"{quoted[0].lower()} {plain}", plain]
    if kind == "lower case":
        return plain, [plain.capitalize(), f"{plain} I"]
    if kind == "upper case":
        return plain.upper(), [plain, plain.upper() + "s"]
    if kind == "repeated word":
        (times,) = numbers
        word = quoted[0]
        return f"{plain} {' '.join([word] * times)}", [
            f"{plain} {' '.join([word] * (times + step))}" for step in (-1, 1)
        ] + [f"{plain} {word}s " + " ".join([word] * (times - 1))]
    if kind == "without a word":
        return plain, [f"{plain} {quoted[0]} end", " ".join(padded(topic, 9))]
    if kind == "no comma":
        return plain, [f"{plain}, too", " ".join(padded(topic, 9))]
    if kind == "json":
        good = dict.fromkeys(quoted, f"of {topic}")
        extra, fewer = {**good, "more": "x"}, dict(list(good.items())[1:])
        bad = [extra, fewer, {**good, quoted[0]: 3}, [good]]
        return json.dumps(good), [*map(json.dumps, bad), f"Here: {json.dumps(good)}", json.dumps(good)[:-1]]
    if kind == "bullets":
        (num,) = numbers
        lines = [f"- {topic} point" for _ in range(num)]
        return "\n".join(lines), [
            "\n".join(lines[1:]), "\n".join([*lines, lines[0]]), "\n".join(["Points:", *lines]),
            "\n".join(["* x", *lines[1:]]), "\n".join([*lines[1:], "- "]),
        ]  # fmt: skip
    if kind == "paragraphs":
        (num,) = numbers
        parts = [plain] * num
        return "\n\n".join(parts), ["\n\n".join(parts[1:]), "\n".join(parts), "\n\n".join([*parts, "more"])]
    raise AssertionError(kind)


def surprise(loaded: LoadedModel, texts: list[str]) -> tuple[float, int, int]:
    """Summed nats of all tokens after the opening one, and the numbers of tokens and words."""
    total, tokens, words = 0.0, 0, 0
    for text in texts:
        ids = [loaded.encoder.start_id, *loaded.tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logs_TV = loaded.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        total -= sum(float(logs_TV[place - 1, ids[place]]) for place in range(1, len(ids)))
        tokens, words = tokens + len(ids) - 1, words + len(text.split())
    return total, tokens, words

"""What the form axis makes, in plain words, and how a guess fares there."""

from itertools import permutations


def one_swap(before: str, after: str) -> bool:
    """Whether ``after`` is ``before`` with two neighbouring letters exchanged."""
    places = [place for place, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    return len(places) == 2 and places[1] == places[0] + 1 and sorted(before) == sorted(after)


def guesses_that_win(rotations: list[str]) -> int:
    """How many fixed letters are right in every rotation of a question, given its right letters: never any."""
    return sum(all(letter == right for right in rotations) for letter in set("ABCD"))


def worst(values: dict[str, list[float]]) -> tuple[float, float]:
    """The largest mean over forms, and its distance to the smallest."""
    means = [sum(row) / len(row) for row in values.values()]
    return max(means), max(first - second for first, second in permutations([*means, means[0]], 2))

"""Literal twin of KLoM: histograms by counting, the divergence term by term."""

import math
from collections.abc import Sequence


def margin(probability: float, clip: float) -> float:
    """Log-odds, clipped."""
    if probability in (0.0, 1.0):
        return clip if probability else -clip
    return max(-clip, min(clip, math.log(probability / (1 - probability))))


def klom(unlearned: Sequence[float], retrained: Sequence[float], bins: int, pseudo: float, clip: float) -> float:
    """Σ p log(p/q) over bins of equal width; an inner edge belongs to the bin above it, the last bin is closed."""
    sides = [[max(-clip, min(clip, value)) for value in side] for side in (unlearned, retrained)]
    low, high = min(map(min, sides)), max(map(max, sides))
    if low == high:
        return 0.0
    total = 0.0
    for number in range(bins):
        left, right = (low + (high - low) * (number + step) / bins for step in (0, 1))
        shares = []
        for side in sides:
            inside = [v for v in side if left <= v < right or (number == bins - 1 and v == high)]
            shares.append((len(inside) + pseudo) / (len(side) + pseudo * bins))
        total += shares[0] * math.log(shares[0] / shares[1])
    return total

"""Literal twins of the audit's arithmetic: plain loops over subjects, folds and resamples, nothing vectorised."""


def worst(scores, subjects, candidates):
    """First point whose mean over ``subjects`` (with repeats) is largest."""
    best, best_mean = None, -1.0
    for point in candidates:
        mean = sum(scores[point][subject] for subject in subjects) / len(subjects)
        if mean > best_mean + 1e-9:
            best, best_mean = point, mean
    return best


def recovery(scores, first, second, candidates):
    """``scores[point][subject]``; choose on one fold, score on the other, swap, average over all subjects."""
    on_first, on_second = worst(scores, first, candidates), worst(scores, second, candidates)
    total = 0.0
    for subject in second:
        total += scores[on_first][subject]
    for subject in first:
        total += scores[on_second][subject]
    return total / (len(first) + len(second)), (on_first, on_second)


def excess(model, control, original):
    """Ratio of means over replicates: each argument lists one recovery a replicate."""
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    return (mean(model) - mean(control)) / (mean(original) - mean(control))


def resampled(scores_by_replicate, folds, draws, candidates):
    """One bootstrap value: ``draws`` lists (replicate, {subject: times}) a slot; b* is chosen anew in each slot."""
    values = []
    for replicate, times in draws:
        first = [s for s in folds[replicate][0] for _ in range(times[s])]
        second = [s for s in folds[replicate][1] for _ in range(times[s])]
        values.append(recovery(scores_by_replicate[replicate], first, second, candidates)[0])
    return sum(values) / len(values)

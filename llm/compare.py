"""Two sets of labels on the same documents: is one better, or was it luck? A paired test and a paired bootstrap."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm.triage.evaluate import RESAMPLES, measure
from yuqing.contracts import SENTIMENTS, Sentiment


def mcnemar(only_new: int, only_old: int) -> float:
    """Two-sided exact p of McNemar's test, from how many documents one alone has right and how many the other alone.

    Under the null hypothesis each discordant document is a fair coin; p = 1 without any.
    """
    total, least = only_new + only_old, min(only_new, only_old)
    tail = sum(math.comb(total, k) for k in range(least + 1)) / 2**total
    return float(min(1.0, 2 * tail))


def _macro_f1(cells: np.ndarray) -> float:
    size = len(SENTIMENTS)
    confusion = np.bincount(cells, minlength=size**2).reshape(size, size)
    sums = confusion.sum(0) + confusion.sum(1)
    return float(np.divide(2 * np.diag(confusion), sums, out=np.zeros(size), where=sums > 0).mean())


def compare(human: Sequence[Sentiment], new: Sequence[Sentiment], old: Sequence[Sentiment]) -> dict[str, Any]:
    """Accuracy and macro-F1 of both (new, old), McNemar's p, and the 95 % intervals of their differences (new less old).

    The documents are resampled in pairs, with a fixed seed. Raises ValueError for none or unequal lengths.
    """
    mine, other = measure(human, new), measure(human, old)
    truth, first, second = (np.array([SENTIMENTS.index(label) for label in each]) for each in (human, new, old))
    right, was_right = first == truth, second == truth
    chance = np.random.default_rng(7)
    size = len(SENTIMENTS)
    differences, gains = [], []
    for _ in range(RESAMPLES):
        drawn = chance.integers(0, len(truth), len(truth))
        base = truth[drawn] * size
        gains.append(float(right[drawn].mean() - was_right[drawn].mean()))
        differences.append(_macro_f1(base + first[drawn]) - _macro_f1(base + second[drawn]))

    def interval(values: list[float]) -> list[float]:
        return [round(float(bound), 4) for bound in np.percentile(values, [2.5, 97.5])]

    return {
        "documents": len(truth),
        "accuracy": [mine.accuracy, other.accuracy],
        "macro_f1": [mine.macro_f1, other.macro_f1],
        "mcnemar_p": round(mcnemar(int((right & ~was_right).sum()), int((~right & was_right).sum())), 4),
        "accuracy_difference_interval": interval(gains),
        "macro_f1_difference_interval": interval(differences),
    }

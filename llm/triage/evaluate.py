"""Accuracy and macro-F1 with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yuqing.contracts import SENTIMENTS, Sentiment

RESAMPLES = 2000
Interval = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """Shares in [0, 1]; the intervals hold 95 % of RESAMPLES bootstrap samples of the documents."""

    documents: int
    accuracy: float
    accuracy_interval: Interval
    macro_f1: float
    macro_f1_interval: Interval


def _scores(confusion: np.ndarray) -> tuple[float, float]:
    """Accuracy and macro-F1 of a confusion matrix (human label, predicted); a label that never occurs has F1 0."""
    right = np.diag(confusion)
    sums = confusion.sum(0) + confusion.sum(1)
    f1 = np.divide(2 * right, sums, out=np.zeros(len(right)), where=sums > 0)
    return float(right.sum() / confusion.sum()), float(f1.mean())


def interval(values: Sequence[float]) -> Interval:
    """What holds 95 % of a statistic's bootstrap samples."""
    low, high = np.percentile(values, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def confusion(human: Sequence[Sentiment], predicted: Sequence[Sentiment]) -> np.ndarray:
    """How many documents have each pair of labels: (human label, predicted), both in the order of SENTIMENTS.

    Raises ValueError for none or unequal lengths.
    """
    if not human or len(human) != len(predicted):
        raise ValueError(f"{len(human)} human labels and {len(predicted)} predictions cannot be compared")
    size = len(SENTIMENTS)
    cells = [SENTIMENTS.index(a) * size + SENTIMENTS.index(b) for a, b in zip(human, predicted, strict=True)]
    return np.bincount(cells, minlength=size**2).reshape(size, size)


def measure(human: Sequence[Sentiment], predicted: Sequence[Sentiment]) -> Measured:
    """Compare labels of the same documents; the resampling has a fixed seed. Raises ValueError for none or unequal lengths."""
    counts = confusion(human, predicted)
    accuracy, macro_f1 = _scores(counts)
    # Resampling documents is drawing their cells anew.
    chance = np.random.default_rng(7)
    shares = counts.ravel() / len(human)
    drawn = [_scores(sample.reshape(counts.shape)) for sample in chance.multinomial(len(human), shares, RESAMPLES)]
    return Measured(
        documents=len(human),
        accuracy=round(accuracy, 4),
        accuracy_interval=interval([each[0] for each in drawn]),
        macro_f1=round(macro_f1, 4),
        macro_f1_interval=interval([each[1] for each in drawn]),
    )

"""The trade-off of the cascade: how much triage answers by itself, and what that costs in accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yuqing.contracts import SENTIMENTS, Sentiment

Floats = npt.NDArray[np.float64]

# Precisions that triage's own answers are asked for; about .89 is what the labels' noise allows over all documents.
PRECISIONS = (0.80, 0.84, 0.86, 0.88, 0.90, 0.92, 0.95)
# A threshold that accepts fewer documents of the dev split was found by luck.
FEWEST = 20
_POSITIVE = SENTIMENTS.index("positive")


@dataclass(frozen=True)
class TradeOff:
    """Thresholds, and what they do to a split: shares in [0, 1]; `loss` is the language model's accuracy less the cascade's."""

    neutral: float
    negative: float
    spared: float
    spared_accuracy: float
    cascade_accuracy: float
    llm_accuracy: float

    @property
    def loss(self) -> float:
        """Accuracy lost against asking the language model about everything; negative where the cascade is better."""
        return round(self.llm_accuracy - self.cascade_accuracy, 4)


def accepted(triage: Floats, neutral: float, negative: float) -> npt.NDArray[np.bool_]:
    """Which documents triage answers: the same rule as cascade.is_sure, on probabilities (documents, 3)."""
    least = np.array([{"neutral": neutral, "negative": negative}.get(name, np.inf) for name in SENTIMENTS])
    best = triage.argmax(1)
    found: npt.NDArray[np.bool_] = np.round(triage.max(1), 4) >= least[best]
    return found


def apply(triage: Floats, llm: Floats, human: Sequence[Sentiment], neutral: float, negative: float) -> TradeOff:
    """What these thresholds do to documents with these probabilities, (documents, 3) each, and labels."""
    truth = np.array([SENTIMENTS.index(label) for label in human])
    spared = accepted(triage, neutral, negative)
    predicted = np.where(spared, triage.argmax(1), llm.argmax(1))
    right = predicted == truth
    return TradeOff(
        neutral=neutral,
        negative=negative,
        spared=round(float(spared.mean()), 4),
        spared_accuracy=round(float(right[spared].mean()), 4) if spared.any() else 0.0,
        cascade_accuracy=round(float(right.mean()), 4),
        llm_accuracy=round(float((llm.argmax(1) == truth).mean()), 4),
    )


def least_confidence(triage: Floats, human: Sequence[Sentiment], label: Sentiment, precision: float) -> float:
    """The lowest confidence, to two decimals, from which triage's `label` is right in this share; 1.01 where there is none."""
    index = SENTIMENTS.index(label)
    right = np.array([name == label for name in human])
    is_label = triage.argmax(1) == index
    for threshold in np.arange(0.34, 1.0, 0.01):
        taken = is_label & (triage[:, index] >= threshold)
        if taken.sum() < FEWEST:
            break
        if right[taken].mean() >= precision:
            return round(float(threshold), 2)
    return 1.01


def trade_offs(triage: Floats, llm: Floats, human: Sequence[Sentiment]) -> list[TradeOff]:
    """One line for each of PRECISIONS: the thresholds that reach it for either label, and what they do."""
    return [
        apply(
            triage,
            llm,
            human,
            least_confidence(triage, human, "neutral", precision),
            least_confidence(triage, human, "negative", precision),
        )
        for precision in PRECISIONS
    ]

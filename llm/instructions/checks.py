"""What may go into a training set: each text once, no text in two splits, every label in every split."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llm.analysis.prompts import token_estimate
from llm.dataset import FULL_BUDGET, text_key
from llm.evaluation.documents import LabelledDocument
from llm.inews import DatasetError
from llm.instructions.sources import SPLITS, Dropped
from yuqing.contracts import SENTIMENTS

Splits = dict[str, list[LabelledDocument]]

# A label under this share of the training documents is learnt slowly; the report says so (a tenth of INEWS is positive).
RARE = 0.05


def without_duplicates(documents: Sequence[LabelledDocument]) -> tuple[list[LabelledDocument], list[Dropped]]:
    """Each text once. Copies in dev and test (where the file names the splits) come before those in train, otherwise the first.

    A text is known by the letters of it (`llm.dataset.text_key`), so that spaces and punctuation make no other text.
    """
    order = {"test": 0, "dev": 1}
    seen: dict[str, LabelledDocument] = {}
    kept: list[tuple[int, LabelledDocument]] = []
    dropped = []
    for place, document in sorted(enumerate(documents), key=lambda each: (order.get(each[1].part, 2), each[0])):
        key = text_key(document)
        first = seen.setdefault(key, document)
        if first is document:
            kept.append((place, document))
            continue
        reason = f"the text of {first.id} again"
        if first.part != document.part and "" not in (first.part, document.part):
            reason += f", which is in {first.part}: a leak"
        if first.sentiment != document.sentiment:
            reason += f", with another label ({document.sentiment}, there {first.sentiment})"
        dropped.append(Dropped(document.id, reason))
    return [document for _, document in sorted(kept, key=lambda each: each[0])], dropped


def split(documents: Sequence[LabelledDocument], shares: Mapping[str, float], seed: int) -> Splits:
    """The documents in train, dev and test: where they say so themselves, else at random with the labels' shares in each.

    `shares` are those of dev and test among the documents without a split.
    """
    found: Splits = {name: [each for each in documents if each.part == name] for name in SPLITS}
    chance = random.Random(seed)  # noqa: S311
    for label in SENTIMENTS:
        free = [each for each in documents if not each.part and each.sentiment == label]
        chance.shuffle(free)
        whole = len(free)
        for name in ("dev", "test"):
            count = max(round(shares[name] * whole), 1 if shares[name] and whole >= 3 else 0)
            found[name] += free[:count]
            free = free[count:]
        found["train"] += free
    return found


def check_labels(splits: Splits) -> None:
    """Raises DatasetError when a split that is not empty lacks a label, or when nothing is left to train on."""
    if not splits["train"]:
        raise DatasetError("no document is left to train on", cure="look at what was dropped and why, in the report")
    for name, documents in splits.items():
        counts = Counter(each.sentiment for each in documents)
        missing = [label for label in SENTIMENTS if not counts[label]]
        if documents and missing:
            raise DatasetError(
                f"the split {name} has no {missing[0]} document among {len(documents)}",
                cure=f"label some more, move some there, or leave the split out (--{name} 0)"
                if name != "train"
                else "label some: what was never seen is never said",
            )


def described(documents: Sequence[LabelledDocument]) -> dict[str, Any]:
    """Labels, companies and lengths of a split; `cut` is the share whose text is longer than a prompt holds."""
    counts = Counter(each.sentiment for each in documents)
    found: dict[str, Any] = {
        "documents": len(documents),
        "labels": {label: counts[label] for label in SENTIMENTS},
        "companies": sum(len(each.companies) for each in documents),
    }
    if documents:
        characters = [len(each.text) for each in documents]
        found["characters"] = {
            name: int(np.percentile(characters, share)) for name, share in (("median", 50), ("p95", 95), ("most", 100))
        }
        long = sum(token_estimate(each.text) > FULL_BUDGET for each in documents)
        found["cut"] = round(long / len(documents), 4)
    return found


def warnings_of(splits: Splits) -> list[str]:
    """What an engineer should know before training on it."""
    found = []
    train = splits["train"]
    counts = Counter(each.sentiment for each in train)
    for label in SENTIMENTS:
        if 0 < counts[label] < RARE * len(train):
            found.append(f"only {counts[label] / len(train):.1%} of the training documents are {label}")
    for name in ("dev", "test"):
        if 0 < len(splits[name]) < 100:
            found.append(f"{name} has {len(splits[name])} documents: intervals of ten points and more")
    return found

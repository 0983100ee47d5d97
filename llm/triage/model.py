"""The triage model on disk (an .npz of plain arrays, and a card with its hash), and its answer for a document."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.analysis.scores import Label
from llm.triage.features import Floats, Keys, Shape, counted, positions, title_start, weigh
from yuqing.contracts import SENTIMENTS
from yuqing.errors import YuqingError

WEIGHTS = "triage.npz"
CARD = "card.json"
SHIPPED = Path(__file__).parent / "shipped"
ENGINE = "triage"


class TriageError(YuqingError):
    """The triage model is missing or damaged."""


@dataclass(frozen=True)
class TriageModel:
    """TF-IDF and logistic regression: the sorted vocabulary, idf a term, coefficients (terms, 3) and intercepts (3,).

    Columns are in the order of SENTIMENTS. `name` goes into the lineage of what it answers.
    """

    name: str
    shape: Shape
    vocabulary: Keys
    idf: Floats
    coefficients: Floats
    intercepts: Floats
    card: dict[str, Any]

    def probabilities(self, title: str, text: str) -> npt.NDArray[np.float64]:
        """P of each of SENTIMENTS. A document without a known n-gram gets what the training set's frequencies say."""
        keys, counts = counted(title, text, self.shape)
        places, known = positions(keys, self.vocabulary)
        places = places[known]
        weights = weigh(places, counts[known], self.idf, title_start(self.vocabulary))
        scores = weights @ self.coefficients[places] + self.intercepts
        exponents = np.exp(scores - scores.max())
        found: npt.NDArray[np.float64] = exponents / exponents.sum()
        return found

    def label(self, title: str, text: str) -> Label:
        """The most probable sentiment with its score and confidence."""
        return label_of(self.probabilities(title, text))


def label_of(probabilities: npt.NDArray[np.float64]) -> Label:
    """The most probable of SENTIMENTS, score = P(positive) - P(negative), confidence = its probability."""
    best = int(np.argmax(probabilities))
    score = probabilities[SENTIMENTS.index("positive")] - probabilities[SENTIMENTS.index("negative")]
    return Label(SENTIMENTS[best], round(float(score), 4), round(float(probabilities[best]), 4))


def probabilities_of(label: Label) -> npt.NDArray[np.float64]:
    """The three probabilities of which a label's score and confidence were made; sums to 1."""
    by_name = {"neutral": 1 - label.confidence}
    if label.sentiment == "neutral":
        rest = 1 - label.confidence
        by_name = {
            "neutral": label.confidence,
            "positive": (rest + label.score) / 2,
            "negative": (rest - label.score) / 2,
        }
    else:
        positive = label.confidence if label.sentiment == "positive" else label.confidence + label.score
        negative = label.confidence if label.sentiment == "negative" else label.confidence - label.score
        by_name = {"positive": positive, "negative": negative, "neutral": 1 - positive - negative}
    found = np.clip([by_name[name] for name in SENTIMENTS], 0.0, 1.0)
    result: npt.NDArray[np.float64] = found / found.sum()
    return result


def save(folder: Path, model: TriageModel) -> dict[str, Any]:
    """Write the arrays and the card (model.card with the hash and the shape); returns the card. The same model, the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        vocabulary=model.vocabulary,
        idf=model.idf,
        coefficients=model.coefficients,
        intercepts=model.intercepts,
    )
    data = buffer.getvalue()
    card = {
        "name": model.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "terms": len(model.vocabulary),
        "shape": vars(model.shape),
        **model.card,
    }
    (folder / WEIGHTS).write_bytes(data)
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


@cache
def load(folder: Path = SHIPPED) -> TriageModel:
    """The model of a folder; its arrays are plain numbers, nothing is unpickled. Raises TriageError."""
    cure = "restore its files, or train it again: `yuqing llm train-triage`"
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != card["sha256"]:
            raise TriageError(f"{folder / WEIGHTS} has the sha256 {digest[:16]}…, not its card's", cure=cure)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return TriageModel(
                name=f"{card['name']}-{digest[:8]}",
                shape=Shape(**card["shape"]),
                vocabulary=arrays["vocabulary"],
                idf=arrays["idf"],
                coefficients=np.ascontiguousarray(arrays["coefficients"]),
                intercepts=arrays["intercepts"],
                card=card,
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise TriageError(f"the triage model in {folder} cannot be read: {error!r}", cure=cure) from None

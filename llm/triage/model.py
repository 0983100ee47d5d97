"""The triage model on disk (an .npz of plain arrays, and a card with its hash), and its answer for a document."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.analysis.scores import Label
from llm.triage.features import Floats, NGrams, Vocabulary, Words, tf_idf
from yuqing.contracts import SENTIMENTS
from yuqing.errors import YuqingError

WEIGHTS = "triage.npz"
CARD = "card.json"
SHIPPED = Path(__file__).parent / "shipped"
ENGINE = "triage"


class TriageError(YuqingError):
    """The triage model is missing or damaged."""


@dataclass(frozen=True)
class Shape:
    """What is read of a document: its title, the text's first characters; n-grams of up to so many characters of each."""

    title_grams: int = 3
    text_grams: int = 2
    text_characters: int = 2000

    def fields(self, title: str, text: str) -> tuple[str, str, str, str]:
        """What each of VIEWS reads."""
        text = text[: self.text_characters]
        return title, text, title, text


# What the model has weights of its own for: a headline is short and says most.
VIEWS = ("title_grams", "text_grams", "title_words", "text_words")


@dataclass(frozen=True)
class View:
    """TF-IDF of one kind of term in one field, and what it says: idf a term, coefficients (terms, 3)."""

    vocabulary: Vocabulary
    idf: Floats
    coefficients: Floats

    def scores(self, text: str) -> npt.NDArray[np.float64]:
        """Its part of the three logits; 0 for a text without a known term."""
        places, counts = self.vocabulary.find(text)
        found: npt.NDArray[np.float64] = tf_idf(counts, self.idf[places]) @ self.coefficients[places]
        return found


@dataclass(frozen=True)
class TriageModel:
    """TF-IDF and logistic regression: what each of VIEWS says, added to the intercepts (3,).

    Columns are in the order of SENTIMENTS. `name` goes into the lineage of what it answers.
    """

    name: str
    shape: Shape
    views: tuple[View, ...]
    intercepts: Floats
    card: dict[str, Any]

    def logits(self, title: str, text: str) -> npt.NDArray[np.float64]:
        """The logarithms of P of each of SENTIMENTS, but for a constant."""
        fields = self.shape.fields(title, text)
        found = self.intercepts.astype(np.float64)
        for view, field in zip(self.views, fields, strict=True):
            found = found + view.scores(field)
        return found

    def probabilities(self, title: str, text: str) -> npt.NDArray[np.float64]:
        """P of each of SENTIMENTS. A document without a known term gets what the training set's frequencies say."""
        scores = self.logits(title, text)
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
    arrays = {
        f"{name}_{part}": array
        for name, view in zip(VIEWS, model.views, strict=True)
        for part, array in (
            ("terms", view.vocabulary.array()),
            ("idf", view.idf),
            ("coefficients", view.coefficients),
        )
    }
    np.savez_compressed(buffer, allow_pickle=False, intercepts=model.intercepts, **arrays)
    data = buffer.getvalue()
    card = {
        "name": model.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "terms": sum(len(view.vocabulary) for view in model.views),
        "shape": vars(model.shape),
        **model.card,
    }
    (folder / WEIGHTS).write_bytes(data)
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


def vocabulary(view: str, terms: npt.NDArray[Any], shape: Shape) -> Vocabulary:
    """The vocabulary of one of VIEWS, out of its terms in the order of their numbers."""
    if view.endswith("words"):
        return Words(terms.tolist())
    return NGrams(terms, shape.title_grams if view == "title_grams" else shape.text_grams)


@cache
def load(folder: Path = SHIPPED) -> TriageModel:
    """The model of a folder; its arrays are numbers and words, nothing is unpickled. Raises TriageError."""
    if find_spec("rjieba") is None:
        raise TriageError(
            "triage needs rjieba, which is not installed", cure="make setup, or pip install 'yuqing[llm]'"
        )
    cure = "restore its files, or train it again: `yuqing llm train-triage`"
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != card["sha256"]:
            raise TriageError(f"{folder / WEIGHTS} has the sha256 {digest[:16]}…, not its card's", cure=cure)
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            shape = Shape(**card["shape"])
            return TriageModel(
                name=f"{card['name']}-{digest[:8]}",
                shape=shape,
                views=tuple(
                    View(
                        vocabulary(name, arrays[f"{name}_terms"], shape),
                        arrays[f"{name}_idf"],
                        np.ascontiguousarray(arrays[f"{name}_coefficients"]),
                    )
                    for name in VIEWS
                ),
                intercepts=arrays["intercepts"],
                card=card,
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise TriageError(f"the triage model in {folder} cannot be read: {error!r}", cure=cure) from None

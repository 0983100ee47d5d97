"""A company's sentiment out of several readings of its own clauses: their words, triage, and the language model.

P(label) ∝ exp(w · features + b), multinomial logistic regression, fitted on the dev part of tests/data/entity_sentiment; its
probabilities are calibrated there, too. The weights are a small JSON file. Those without the language model are shipped; those with
it are fitted for the adapter that is served.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.entity.polarity import polarity
from llm.triage.ensemble import weights_of
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.errors import YuqingError

Floats = npt.NDArray[np.float64]

# Goes into the lineage of verdicts that were made so. Raise it when features or weights change.
VERSION = "entity-v2"
SHIPPED = Path(__file__).parent / "opinion.json"
_SMALLEST = 1e-3  # a probability of 0 is never meant
# Strength of the pull towards zero: some 170 labels against a dozen features of three labels.
_PENALTY = 0.02


class OpinionError(YuqingError):
    """The weights are missing, damaged, or fitted for another triage model."""


@dataclass(frozen=True)
class Readings:
    """How a company's own clauses (`said`) were read: (3,) probabilities in the order of SENTIMENTS.

    By triage, and by the language model as a text of their own; None where it was not asked.
    """

    said: str
    triage: Floats
    model: Floats | None = None


def _logs(probabilities: Floats) -> Floats:
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    centred: Floats = logs - logs.mean()
    return centred


def features(readings: Readings) -> Floats:
    """The numbers of a company's readings, (8,) without the language model and (11,) with it."""
    words = polarity(readings.said)
    own = [
        np.log1p(words.good),
        np.log1p(words.bad),
        words.balance,
        float(words.good + words.bad == 0),
        float(min(words.mocking, 1)),
        *_logs(readings.triage),
    ]
    return np.array(own if readings.model is None else [*own, *_logs(readings.model)])


@dataclass(frozen=True)
class Opinion:
    """Weights (3, features) and biases (3,)."""

    weights: Floats
    biases: Floats

    def probabilities(self, found: Floats) -> Floats:
        """P of each of SENTIMENTS for features (..., features)."""
        logits = found @ self.weights.T + self.biases
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        result: Floats = exponents / exponents.sum(-1, keepdims=True)
        return result


def fit(found: Floats, human: Sequence[Sentiment]) -> Opinion:
    """The weights with the highest penalised likelihood on (documents, features) with these labels."""
    from scipy.optimize import minimize

    truth = np.eye(3)[[SENTIMENTS.index(label) for label in human]]
    count = found.shape[1]

    def unpack(x: Floats) -> Opinion:
        return Opinion(x[: 3 * count].reshape(3, count), x[3 * count :])

    def cost(x: Floats) -> tuple[float, Floats]:
        made = unpack(x).probabilities(found)
        loss = -np.log(np.maximum((made * truth).sum(1), 1e-12)).mean() + _PENALTY * (x[: 3 * count] ** 2).sum()
        error = (made - truth) / len(truth)
        slope = np.concatenate([(error.T @ found).ravel() + 2 * _PENALTY * x[: 3 * count], error.sum(0)])
        return float(loss), slope

    best = minimize(cost, np.zeros(3 * count + 3), jac=True, method="L-BFGS-B").x
    fitted = unpack(np.round(best, 4))
    return Opinion(fitted.weights.copy(), fitted.biases.copy())


def save(fitted: dict[str, Opinion], about: dict[str, Any], path: Path = SHIPPED) -> None:
    """Write the weights by name ("rules": without the language model; "llm": with it) and what they were fitted on.

    Weights of another name stay, if they were fitted for the same triage model (`about["triage"]`).
    """
    rows = {name: {"weights": each.weights.tolist(), "biases": each.biases.tolist()} for name, each in fitted.items()}
    card = {"version": VERSION, **about, "models": rows}
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        before = {}  # none, or damaged: to be replaced
    if before.get("triage") == about.get("triage"):
        card = {
            **before,
            **card,
            **{part: {**before.get(part, {}), **card.get(part, {})} for part in ("metrics", "models")},
        }
    path.write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@cache
def load(name: str, path: Path = SHIPPED) -> Opinion:
    """The shipped weights of this name. Raises OpinionError."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))["models"][name]
        found = Opinion(np.array(row["weights"], dtype=float), np.array(row["biases"], dtype=float))
        if found.weights.shape[0] != 3 or found.biases.shape != (3,):
            raise ValueError(f"weights of shape {found.weights.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OpinionError(
            f"the weights {name} in {path} cannot be used: {error!r}",
            cure="restore the file, or fit them: `yuqing llm entities fit DOCUMENTS`, "
            "for llm.company_clauses=llm with `--answers FILE` and the language model's server running",
        ) from None
    return found


def check(name: str, triage: str, path: Path = SHIPPED) -> None:
    """Raises OpinionError when the weights of this name cannot be used, or not with the triage model of this name."""
    load(name, path)
    fitted_with = json.loads(path.read_text(encoding="utf-8")).get("triage") or "without a name"
    if fitted_with != triage:
        raise OpinionError(
            f"the weights {name} in {path} were fitted for the triage model {fitted_with}, not for {triage}",
            cure="fit them for this one: `yuqing llm entities fit DOCUMENTS`, or restore the triage model",
        )


def not_for(adapter: str | None, path: Path = SHIPPED) -> str | None:
    """What to tell whoever activates this adapter (None: the bare base): weights that read another's answers are here."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if "llm" not in card["models"]:
            return None
        known = str(card["fitted_for"]["adapter"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if weights_of(known) == weights_of(adapter or ""):
        return None
    return (
        f"the companies' weights for llm.company_clauses=llm were fitted on the answers of {known or 'the bare base'}: "
        "once this one is served, `yuqing llm entities fit DOCUMENTS --answers FILE`"
    )


def probabilities(readings: Readings) -> Floats:
    """P of each of SENTIMENTS of a company, by the weights for the readings that there are. Raises OpinionError."""
    return load("rules" if readings.model is None else "llm").probabilities(features(readings))

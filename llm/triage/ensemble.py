"""The ensemble: the language model's and triage's probabilities, multiplied with weights that were fitted on dev."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm.triage.model import SHIPPED, TriageError
from yuqing.contracts import SENTIMENTS, Sentiment

Floats = npt.NDArray[np.float64]

CARD = "ensemble.json"
_CURE = "fit them, with the language model's server running: `yuqing llm fit-ensemble`"
_SMALLEST = 1e-4  # the precision of a label's probabilities
# Strength of the pull towards equal weights without biases: a split of a thousand documents is small.
_PENALTY = 0.01


@dataclass(frozen=True)
class Ensemble:
    """P ∝ P(triage)^triage · P(llm)^llm · e^bias, with a bias for each of SENTIMENTS."""

    triage: float
    llm: float
    biases: tuple[float, float, float]

    def combine(self, triage: Floats, llm: Floats) -> Floats:
        """Probabilities of the ensemble for (..., 3) probabilities of its parts."""
        logits = self.triage * np.log(np.maximum(triage, _SMALLEST)) + self.llm * np.log(np.maximum(llm, _SMALLEST))
        logits = logits + np.array(self.biases)
        exponents = np.exp(logits - logits.max(-1, keepdims=True))
        result: Floats = exponents / exponents.sum(-1, keepdims=True)
        return result


def fit(triage: Floats, llm: Floats, human: Sequence[Sentiment]) -> Ensemble:
    """The weights with the highest likelihood on these documents, (documents, 3) each."""
    from scipy.optimize import minimize

    truth = np.array([SENTIMENTS.index(label) for label in human])
    rows = np.arange(len(truth))

    def ensemble(x: Floats) -> Ensemble:
        return Ensemble(float(x[0]), float(x[1]), (float(x[2]), 0.0, float(x[3])))

    def cost(x: Floats) -> float:
        found = ensemble(x).combine(triage, llm)[rows, truth]
        return float(-np.log(np.maximum(found, _SMALLEST)).mean() + _PENALTY * ((x - [0.5, 0.5, 0, 0]) ** 2).sum())

    best = minimize(cost, np.array([0.5, 0.5, 0.0, 0.0]), method="L-BFGS-B").x
    return ensemble(np.round(best, 4))


def weights_of(adapter: str) -> str:
    """What stands for an adapter's weights in the name under which it is served: the beginning of their sha256, with which
    `yuqing llm serve` and the registry end it, else the whole name; "" for the bare base.
    """
    found = re.fullmatch(r".+-([0-9a-f]{8})", adapter)
    return found[1] if found else adapter


def save(
    ensemble: Ensemble, fitted_for: dict[str, str], about: dict[str, Any], folder: Path = SHIPPED
) -> dict[str, Any]:
    """Write the weights beside the triage model, with what they were fitted for and on; returns the card."""
    card = {**asdict(ensemble), "fitted_for": fitted_for, **about}
    (folder / CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


def _read(folder: Path) -> tuple[Ensemble, dict[str, str]]:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        positive, neutral, negative = map(float, card["biases"])
        found = Ensemble(float(card["triage"]), float(card["llm"]), (positive, neutral, negative))
        return found, {str(name): str(value) for name, value in card["fitted_for"].items()}
    except FileNotFoundError:
        raise TriageError("the ensemble's weights were not fitted yet", cure=_CURE) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TriageError(f"the ensemble's weights in {folder} cannot be read: {error!r}", cure=_CURE) from None


def fitted_for(folder: Path = SHIPPED) -> dict[str, str]:
    """What the weights were fitted for. Raises TriageError when there are none."""
    return _read(folder)[1]


def load(parts: dict[str, str], folder: Path = SHIPPED) -> Ensemble:
    """The weights. Raises TriageError when there are none, or when they were fitted for other parts than these."""
    found, known = _read(folder)
    for name in {**parts, **known}:
        was, now = known.get(name, ""), parts.get(name, "")
        if weights_of(was) != weights_of(now) if name == "adapter" else was != now:
            raise TriageError(
                f"the ensemble's weights were fitted for the {name} {was or 'none'}, not for {now or 'none'}",
                cure=_CURE,
            )
    return found


def not_for(adapter: str | None, folder: Path = SHIPPED) -> str | None:
    """What to tell whoever activates this adapter (None: the bare base): that weights are here, fitted on another's answers."""
    try:
        known = fitted_for(folder).get("adapter", "")
    except TriageError:
        return None
    if weights_of(known) == weights_of(adapter or ""):
        return None
    return (
        f"the ensemble's weights were fitted on the answers of {known or 'the bare base'} and are refused for this one: "
        "once it is served, `yuqing llm fit-ensemble`"
    )

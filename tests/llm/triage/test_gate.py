"""What cascade and ensemble make of the language model's answers keeps its floors, which only rise: floors.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm import inews
from llm.adapters import load_adapter
from llm.triage import ensemble
from llm.triage.answers import answered, figures, parts_of, triage_probabilities
from llm.triage.thresholds import apply
from yuqing.settings import LLMSettings, load_settings

ANSWERS = Path(__file__).parents[2] / "data" / "inews_answers"
FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text(encoding="utf-8"))
Part = tuple[list[inews.LabelledNews], Any, Any]


def _part(split: inews.Split) -> Part:
    """The documents that were answered, and P by triage and by the language model."""
    documents, asked = answered(inews.load(split), ANSWERS / f"{split}.jsonl", load_settings(), ask=False)
    return documents, triage_probabilities(documents), asked


@pytest.fixture(scope="module")
def dev() -> Part:
    """Of the dev split."""
    return _part("dev")


@pytest.fixture(scope="module")
def test() -> Part:
    """Of the test split."""
    return _part("test")


def test_the_language_model_keeps_its_floor_and_its_confidence_is_its_accuracy(test: Part) -> None:
    documents, _, asked = test
    found, floors = figures(documents, asked), FLOORS["llm"]
    assert found["documents"] >= floors["documents"]
    assert found["accuracy"] >= floors["accuracy"]
    assert found["macro_f1"] >= floors["macro_f1"]
    assert found["ece"] <= floors["ece_most"]


def test_the_cascade_spares_the_language_model_at_little_loss(test: Part) -> None:
    documents, read, asked = test
    human, defaults = [item.sentiment for item in documents], LLMSettings()
    found = apply(read, asked, human, defaults.triage_neutral, defaults.triage_negative)
    assert found.spared >= FLOORS["cascade"]["spared"]
    assert found.loss <= FLOORS["cascade"]["loss_most"]
    assert np.isclose(found.llm_accuracy, figures(documents, asked)["accuracy"], atol=1e-3)


def test_the_shipped_weights_are_those_of_the_answers_on_dev_and_fit_what_is_shipped(dev: Part) -> None:
    fitted = ensemble.fit(dev[1], dev[2], [item.sentiment for item in dev[0]])
    settings = load_settings()
    shipped = ensemble.load(parts_of(settings, load_adapter(settings.llm.adapter).served_name))
    np.testing.assert_allclose(shipped.combine(dev[1], dev[2]), fitted.combine(dev[1], dev[2]), atol=0.01)


def test_weights_fitted_on_dev_are_no_worse_than_either_part_and_better_on_dev(dev: Part, test: Part) -> None:
    fitted = ensemble.fit(dev[1], dev[2], [item.sentiment for item in dev[0]])
    for split, least in ((test, 0.0), (dev, 0.01)):
        documents, *parts = split
        both = figures(documents, fitted.combine(*parts))
        assert both["accuracy"] >= max(figures(documents, part)["accuracy"] for part in parts) + least
    found, floors = figures(test[0], fitted.combine(*test[1:])), FLOORS["ensemble"]
    assert found["accuracy"] >= floors["accuracy"]
    assert found["macro_f1"] >= floors["macro_f1"]
    assert found["ece"] <= floors["ece_most"]

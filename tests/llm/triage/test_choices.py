"""Thresholds and ensemble weights on made-up probabilities whose best choice is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from llm.analysis.scores import Label
from llm.inews import DatasetError
from llm.triage import ensemble
from llm.triage.answers import open_to_go_on, read_answers
from llm.triage.cascade import is_sure
from llm.triage.model import TriageError, label_of
from llm.triage.thresholds import accepted, apply, least_confidence, trade_offs
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.settings import LLMSettings


def _split(count: int = 900) -> tuple[np.ndarray, np.ndarray, list[Sentiment]]:
    """Triage and language model with independent errors, each confident where it is right more often."""
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 3, count)

    def part(strength: float) -> np.ndarray:
        logits = chance.normal(size=(count, 3))
        logits[np.arange(count), truth] += strength
        exponents = np.exp(logits)
        return exponents / exponents.sum(1, keepdims=True)

    return part(1.6), part(1.4), [SENTIMENTS[index] for index in truth]


def test_the_threshold_is_the_lowest_that_reaches_the_precision() -> None:
    triage, _, human = _split()
    threshold = least_confidence(triage, human, "neutral", 0.85)
    index = SENTIMENTS.index("neutral")

    def precision(least: float) -> float:
        taken = (triage.argmax(1) == index) & (triage[:, index] >= least)
        return float(np.mean([label == "neutral" for label, is_taken in zip(human, taken, strict=True) if is_taken]))

    assert precision(threshold) >= 0.85 > precision(threshold - 0.01)
    assert least_confidence(triage, ["positive"] * len(human), "neutral", 0.85) == 1.01


def test_the_trade_off_spares_less_where_more_is_asked() -> None:
    rows = trade_offs(*_split())
    assert [row.spared for row in rows] == sorted((row.spared for row in rows), reverse=True)
    everything_asked = apply(*_split(), 1.01, 1.01)
    assert (everything_asked.spared, everything_asked.loss) == (0.0, 0.0)


def test_the_measured_rule_is_the_workers_rule() -> None:
    triage, _, _ = _split(200)
    settings = LLMSettings(triage_neutral=0.6, triage_negative=0.7)
    assert accepted(triage, 0.6, 0.7).tolist() == [is_sure(label_of(row), settings) for row in triage]


def test_the_ensemble_is_better_than_its_parts_where_their_errors_are_independent(tmp_path: Path) -> None:
    triage, llm, human = _split()
    truth = [SENTIMENTS.index(label) for label in human]
    fitted = ensemble.fit(triage, llm, human)
    combined = fitted.combine(triage, llm)
    np.testing.assert_allclose(combined.sum(1), 1)
    right = [float((found.argmax(1) == truth).mean()) for found in (triage, llm, combined)]
    assert right[2] > max(right[:2])
    parts = {"triage": "triage-v1-0", "adapter": "inews-v1"}
    ensemble.save(fitted, parts, {"data": "made up"}, tmp_path)
    assert ensemble.load(parts, tmp_path) == fitted
    for other, folder in (({**parts, "adapter": "inews-v2"}, tmp_path), (parts, tmp_path / "nowhere")):
        with pytest.raises(TriageError, match="fitted") as caught:
            ensemble.load(other, folder)
        assert "fit-ensemble" in caught.value.cure


def test_answers_go_on_where_a_file_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    line = {"id": 1, "sentiment": "neutral", "score": 0.1, "confidence": 0.8}
    path.write_text(json.dumps(line) + "\n" + json.dumps({"id": 2, "error": "cut"}) + '\n{"id": 3, "senti')
    assert read_answers(path, 4) == {1: Label("neutral", 0.1, 0.8)}
    with open_to_go_on(path) as file:
        file.write(json.dumps({**line, "id": 3}) + "\n")
    assert set(read_answers(path, 4)) == {1, 3}
    assert read_answers(tmp_path / "none", 4) == {}
    path.write_text("nonsense\n" + json.dumps(line))
    with pytest.raises(DatasetError, match="line 1"):
        read_answers(path, 4)
    path.write_text(json.dumps({**line, "id": 9}))
    with pytest.raises(DatasetError, match="document 9 of 4"):
        read_answers(path, 4)

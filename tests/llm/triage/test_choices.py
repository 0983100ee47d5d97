"""Thresholds and ensemble weights on made-up probabilities whose best choice is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm.adapters import load_adapter
from llm.analysis.scores import Label
from llm.evaluation.answers import Wanted, about_of
from llm.inews import DatasetError
from llm.triage import ensemble
from llm.triage.answers import fit_on_dev, note, note_of, open_to_go_on, read_answers
from llm.triage.cascade import is_sure
from llm.triage.model import TriageError, label_of
from llm.triage.thresholds import accepted, apply, least_confidence, trade_offs
from tests.llm.scripted import scripted_server
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.settings import LLMSettings, load_settings

ANSWERS = Path(__file__).parents[2] / "data" / "inews_answers"


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
    parts = {"triage": "triage-v1-0", "adapter": "inews-v1-0a1b2c3d"}
    ensemble.save(fitted, parts, {"data": "made up"}, tmp_path)
    assert ensemble.load(parts, tmp_path) == fitted
    assert ensemble.load({**parts, "adapter": "renamed-0a1b2c3d"}, tmp_path) == fitted, "the same weights"
    others = ({"adapter": "inews-v1-ffffffff"}, {"adapter": ""}, {"triage": "triage-v2-0"}, {"base": "another"})
    for other, folder in [*(({**parts, **each}, tmp_path) for each in others), (parts, tmp_path / "nowhere")]:
        with pytest.raises(TriageError, match="fitted") as caught:
            ensemble.load(other, folder)
        assert "fit-ensemble" in caught.value.cure
    assert ensemble.not_for("renamed-0a1b2c3d", tmp_path) is None
    assert "inews-v1-0a1b2c3d" in (ensemble.not_for("inews-v2-ffffffff", tmp_path) or "")
    assert "fit-ensemble" in (ensemble.not_for(None, tmp_path) or "")
    assert ensemble.not_for("inews-v2-ffffffff", tmp_path / "nowhere") is None, "no weights, nothing to tell"


def test_weights_name_the_adapter_whose_answers_they_were_fitted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "save", lambda fitted, parts, about: {"fitted_for": parts, **about})
    settings, path, adapter = load_settings(), tmp_path / "dev.jsonl", load_adapter("inews-v2")
    # Not all of them, so that a server is asked for the rest.
    path.write_bytes(b"".join((ANSWERS / "dev.jsonl").read_bytes().splitlines(keepends=True)[:400]))
    with pytest.raises(DatasetError, match=r"nothing tells whose answers .* there is no dev.about.json"):
        fit_on_dev(path, settings, ask=False)
    card = fit_on_dev(path, settings, ask=False, adapter=adapter)
    assert card["fitted_for"]["adapter"] == adapter.served_name
    assert card["adapter_sha256"] == adapter.digest
    assert fit_on_dev(path, settings, ask=False)["fitted_for"] == card["fitted_for"], "it was noted beside the answers"
    with pytest.raises(DatasetError, match=f"those of {adapter.served_name}, not of mine-0a1b2c3d"):
        note(path, "mine-0a1b2c3d", settings.llm.base)
    with scripted_server() as server:  # which serves tests-1
        served = settings.model_copy(update={"llm": settings.llm.model_copy(update={"url": server.url})})
        with pytest.raises(DatasetError, match="not of tests-1"):
            fit_on_dev(path, served)
        note_of(path).unlink()
        with pytest.raises(DatasetError, match="nothing tells whose"):
            fit_on_dev(path, served)
    about: dict[str, Any] = {"served": {"adapter": None}, "text_tokens": 90}
    note_of(path).write_text(json.dumps(about))
    with pytest.raises(DatasetError, match="texts of at most 90 tokens, llm.label_text_tokens is 120"):
        fit_on_dev(path, settings, ask=False)
    # Whole answers have other labels, however many tokens they show.
    for other, message in (({"whole": True}, "whole answers"), ({"prompt_version": "analysis-v0+own"}, "analysis-v0")):
        note_of(path).write_text(json.dumps({"served": {"adapter": None}, "text_tokens": 120, **other}))
        with pytest.raises(DatasetError, match=message):
            fit_on_dev(path, settings, ask=False)
    about |= {"documents": 256, "sha256": "0" * 64}
    note_of(path).write_text(json.dumps(about))
    with pytest.raises(DatasetError, match="answers other documents"):
        fit_on_dev(path, settings, ask=False)


def test_who_asks_notes_what_was_asked_before_the_first_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, settings = tmp_path / "dev.jsonl", load_settings()
    path.write_text("{}\n")
    with pytest.raises(DatasetError, match="nothing tells whose") as caught:
        note(path, "mine-0a1b2c3d", settings.llm.base, asking=settings)
    assert "fit-ensemble" in caught.value.cure
    assert not note_of(path).exists(), "an old file is not said to be of today's adapter"
    path.unlink()
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            note(path, "mine-0a1b2c3d", settings.llm.base, asking=settings)
    assert not note_of(path).exists(), "half a note is none"
    note(path, "mine-0a1b2c3d", settings.llm.base, asking=settings)
    noted = json.loads(note_of(path).read_text())
    asked = about_of(Wanted([], whole=False), noted["served"], settings)
    assert asked["prompt_version"].startswith(noted.pop("prompt_version"))
    assert noted.items() <= asked.items(), "as `yuqing llm evaluate` notes it"
    path.write_text("{}\n")
    note(path, "mine-0a1b2c3d", settings.llm.base, asking=settings)
    fewer = settings.model_copy(update={"llm": settings.llm.model_copy(update={"label_text_tokens": 90})})
    with pytest.raises(DatasetError, match="at most 120 tokens, llm.label_text_tokens is 90"):
        note(path, "mine-0a1b2c3d", settings.llm.base, asking=fewer)


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

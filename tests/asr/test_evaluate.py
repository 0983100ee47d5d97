"""Counting errors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.audio import SAMPLE_RATE
from asr.conditions import UnknownCondition
from asr.evaluate import ALL, Errors, compare, recognise, samples_of, table
from asr.manifests import Utterance
from tests.asr.media import tone, write

TEXTS = st.text(alphabet="京东华为今", max_size=12)


def test_the_kinds_of_errors() -> None:
    errors = Errors.between("今天华为发布新手机", "今天花为发手机了")
    assert (errors.reference, errors.substitutions, errors.deletions, errors.insertions) == (9, 1, 2, 1)
    assert errors.rate == pytest.approx(4 / 9)
    assert Errors.between("", "请点赞") == Errors(insertions=3)
    assert Errors.between("", "").rate is None
    assert Errors.between("二", "十二二二").rate == 3


@given(TEXTS, TEXTS)
def test_errors_are_what_turns_one_text_into_the_other(reference: str, heard: str) -> None:
    errors = Errors.between(reference, heard)
    assert len(reference) - errors.deletions + errors.insertions == len(heard)
    count = errors.substitutions + errors.deletions + errors.insertions
    assert abs(len(reference) - len(heard)) <= count <= max(len(reference), len(heard))
    assert (count == 0) == (reference == heard)


def test_names_count_where_they_are_right() -> None:
    utterance = Utterance("1", Path("1.wav"), "华为说，华为与比亚迪合作。", names=("华为", "比亚迪", "京东"))
    heard = compare(utterance, "华为说花为与比亚迪合作，比亚迪", "clean", 10.0, 1.0)
    assert (heard.names_said, heard.names_right) == (3, 2)


def test_rows_by_condition_and_over_all(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(2), codec="pcm_s16le")
    utterances = [Utterance("a", path, "今天12日"), Utterance("b", path, "华为", start=0.5, end=1.0)]
    heard = list(recognise(utterances, lambda wav: "今天十二日", ["clean", "telephone"]))
    assert [(item.id, item.condition) for item in heard] == [
        ("a", "clean"), ("a", "telephone"), ("b", "clean"), ("b", "telephone"),
    ]  # fmt: skip
    rows = table(heard)
    assert [row.condition for row in rows] == ["clean", "telephone", ALL]
    clean = rows[0].as_json()
    assert clean["audio_s"] == 2.5
    assert clean["cer"] == pytest.approx(5 / 7, abs=1e-4)
    assert rows[2].as_json()["utterances"] == 4
    assert [row.condition for row in table(heard[:1])] == ["clean"]
    with pytest.raises(UnknownCondition, match="telephone"):
        list(recognise(utterances, lambda wav: "", ["space"]))


def test_a_stretch_of_a_recording(tmp_path: Path) -> None:
    sound = np.concatenate([tone(1), np.zeros(SAMPLE_RATE, np.float32), tone(1)])
    path = write(tmp_path / "a.wav", sound, codec="pcm_s16le")
    stretch = samples_of(Utterance("a", path, "", start=1.0, end=2.0))
    assert len(stretch) == SAMPLE_RATE
    assert np.abs(stretch[100:-100]).max() < 0.01
    assert len(samples_of(Utterance("a", path, ""))) == pytest.approx(3 * SAMPLE_RATE, abs=1)

"""Whose clause it is, what its words say, and which sentence proves it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.analysis.prompts import Company
from llm.entity import opinion
from llm.entity.calibration import expected_calibration_error
from llm.entity.clauses import read_clauses, said_of
from llm.entity.judge import own_clauses
from llm.entity.opinion import OpinionError, Readings, features
from llm.entity.polarity import polarity
from yuqing.contracts import SENTIMENTS

A, B = Company("青禾股份", ("青禾",)), Company("蓝屿科技")


@pytest.mark.parametrize(
    ("text", "of_a", "of_b"),
    [
        ("青禾股份获奖，蓝屿科技被罚。", "青禾股份获奖，", "蓝屿科技被罚。"),
        ("蓝屿科技批评青禾股份造假。", "蓝屿科技批评青禾股份造假。", ""),
        ("青禾、蓝屿科技均通过检测。", "青禾、蓝屿科技均通过检测。", "蓝屿科技均通过检测。"),
        ("青禾股份与蓝屿科技发布年报。前者盈利。后者亏损。", "前者盈利。", "后者亏损。"),
        ("青禾股份起火。该公司致歉。天气晴。又一句。再一句。", "青禾股份起火。该公司致歉。天气晴。", ""),
        ("本报讯。市民称，青禾股份很好。", "市民称，青禾股份很好。", ""),
        ("谁都没有提到。", "", ""),
    ],
)
def test_a_clause_is_about_whom_it_names_or_goes_on_about(text: str, of_a: str, of_b: str) -> None:
    clauses = read_clauses(text, [A, B])
    assert said_of(text, clauses, 0).endswith(of_a)
    assert said_of(text, clauses, 1).endswith(of_b)
    assert bool(of_a) == bool(said_of(text, clauses, 0))
    assert bool(of_b) == bool(said_of(text, clauses, 1))


def test_of_names_one_inside_another_the_longest_counts() -> None:
    inside = Company("青禾")
    clauses = read_clauses("青禾股份亏损。", [A, inside])
    assert said_of("青禾股份亏损。", clauses, 1) == ""


@given(st.text(alphabet="青禾蓝屿科技股份，。！记者：前后者、批评\n好坏", max_size=60))
def test_clauses_are_spans_of_the_text_in_order_and_name_whom_they_name(text: str) -> None:
    clauses = read_clauses(text, [A, B])
    ends = [clause.span for clause in clauses]
    assert all(0 <= start < end <= len(text) for start, end in ends)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
    for clause in clauses:
        if clause.named:
            assert any(name in text[slice(*clause.span)] for name in ("青禾", "蓝屿科技"))
    for place, company in enumerate((A, B)):
        said = said_of(text, clauses, place)
        if any(name in text for name in (company.name, *company.aliases)) and "批评" not in text:
            assert said


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("净利润大涨，订单爆满", 1), ("裁员，亏损扩大", -1), ("没有发现问题，未造假", 1), ("投诉量下降八成", 1),
        ("不良率上升", -1), ("不合格", -1), ("全部合格", 1), ("今天开会", 0), ("", 0), ("送来会员卡片", 0),
    ],
)  # fmt: skip
def test_words_negation_and_direction(text: str, sign: int) -> None:
    assert np.sign(polarity(text).balance) == sign


@given(st.text(max_size=200))
def test_polarity_is_bounded(text: str) -> None:
    found = polarity(text)
    assert -1 <= found.balance <= 1
    assert found.good >= 0 <= found.bad


def test_evidence_holds_the_companys_own_clauses_and_speaks_for_the_label() -> None:
    text = "青禾股份开会。蓝屿科技裁员。青禾股份造假被立案。" + "无关。" * 5 + "青禾的食堂不错。"
    own = own_clauses("标题", text, [A, B])
    (worst,) = own.evidence(0, "negative")
    assert text[slice(*worst)] == "青禾股份造假被立案。"
    assert [text[slice(*span)] for span in own.evidence(1, "negative")] == ["蓝屿科技裁员。"]
    assert own_clauses("青禾股份获奖", "没有人。", [A, B]).said == ("青禾股份获奖", "")
    assert own_clauses("青禾股份获奖", "没有人。", [A, B]).evidence(0, "positive") == []


def test_readings_are_put_together_and_the_weights_are_found_again() -> None:
    chance = np.random.default_rng(3)
    human = [SENTIMENTS[i % 3] for i in range(90)]
    words = {"positive": "订单爆满", "neutral": "今天开会", "negative": "造假被立案"}
    found = np.array([features(Readings(words[label], chance.dirichlet([1, 1, 1]))) for label in human])
    made = opinion.fit(found, human)
    read = made.probabilities(found)
    np.testing.assert_allclose(read.sum(1), 1)
    assert [SENTIMENTS[best] for best in read.argmax(1)] == human
    even = np.full(3, 1 / 3)
    for readings in (Readings("造假被立案", even),):
        assert SENTIMENTS[opinion.probabilities(readings).argmax()] == "negative"


def test_damaged_weights_are_one_clear_error(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "opinion.json"
    for content in ("{", '{"models": {}}', '{"models": {"llm": {"weights": [[1]], "biases": [1]}}}'):
        path.write_text(content)
        with pytest.raises(OpinionError, match="cannot be used"):
            opinion.load("llm", path)


def test_calibration_error() -> None:
    assert expected_calibration_error([0.75] * 4, [True, True, True, False]) == 0
    assert expected_calibration_error([1.0, 1.0], [True, False]) == 0.5
    assert expected_calibration_error([0.05, 0.95], [True, True]) == 0.5
    with pytest.raises(ValueError, match="cannot be compared"):
        expected_calibration_error([], [])

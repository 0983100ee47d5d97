"""Normalisation: what it does to Chinese text, and what must hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.normalise import KEPT_PUNCTUATION, MAXIMUM_GROWTH, fold, normalise, to_simplified

# Characters that the steps act on, more often than chance would bring them.
AWKWARD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "鴻海乾隆麼後薴坤茅台ａＢ１，。"
            "\u200b\u200d\ufe0f\ufeff\u3000\u00a0 \t\r\n\x00\ud800️👨👩㈱①ﬁ\ufdfae\u0301\u0327\u1100\u1161\u11a8´"
        ),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("ＡＢＣ１２３％", "ABC123%"),
        ("茅台，涨停！（公告）：“真的”…", "茅台，涨停！（公告）：“真的”…"),
        ("茅\u200b台\ufeff\x00股\u00ad份", "茅台股份"),
        ("  第一段。 \r\n\r\n\u3000\u3000第二段  ", "第一段。\n第二段"),
        ("鴻海與台積電發佈財報", "鸿海与台积电发布财报"),
        ("乾隆年間的乾燥劑與頭髮", "乾隆年间的干燥剂与头发"),
        ("清朝乾隆皇帝御笔，登高瞭望", "清朝乾隆皇帝御笔，登高瞭望"),
        ("👨\u200d👩\u200d👧 好", "👨\u200d👩\u200d👧 好"),
        ("e\u0301t\u00e9", "été"),
    ],
)
def test_forms(original: str, expected: str) -> None:
    assert normalise(original).text == expected


def test_spans_lead_back_to_the_original() -> None:
    original = "\u3000\u3000臺\u200b積電（ＴＳＭＣ）㈱ 發佈\u00a0財報\n"
    normalised = normalise(original)
    assert normalised.text == "台积电（TSMC）(株) 发布 财报"
    start = normalised.text.index("台积电")
    assert original[slice(*normalised.original_span(start, start + 3))] == "臺\u200b積電"
    start = normalised.text.index("株")
    assert original[slice(*normalised.original_span(start, start + 1))] == "㈱"
    start = normalised.text.index("财报")
    assert original[slice(*normalised.original_span(start, start + 2))] == "財報"


@given(AWKWARD)
def test_a_second_pass_changes_nothing(text: str) -> None:
    once = normalise(text).text
    assert normalise(once).text == once
    once.encode()  # no surrogates: it can be stored


@given(AWKWARD)
def test_offsets(text: str) -> None:
    normalised = normalise(text)
    assert len(normalised.offsets) == len(normalised.text) + 1
    assert list(normalised.offsets) == sorted(normalised.offsets)
    assert all(0 <= offset <= len(text) for offset in normalised.offsets)
    assert len(normalised.text) <= MAXIMUM_GROWTH * len(text)


@given(st.text(KEPT_PUNCTUATION, max_size=10))
def test_chinese_punctuation_stays(text: str) -> None:
    assert normalise(text).text == text


@given(AWKWARD)
def test_lengths_that_offsets_rely_on(text: str) -> None:
    assert len(to_simplified(text)) == len(text)
    assert len(fold(text)) == len(text)

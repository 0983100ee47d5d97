"""What a reprint changed in the text that it carries."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.reprint import Changes, Original

SENTENCES = [
    "星河汽车今天宣布，因动力电池在连续快充后可能过热，召回一批轿车。",
    "国家有关部门表示，已收到十七起与该车型电池有关的投诉。",
    "质量负责人在说明会上说，公司将免费更换电池模组。",
    "多位车主告诉记者，售后网点至今没有给出明确的更换时间。",
    "受此消息影响，公司股价当日下跌百分之六点二。",
    "分析人士认为，这次召回的费用可能在四亿元左右。",
]
TITLE, TEXT = "星河汽车召回轿车：快充后电池可能过热", "\n".join(SENTENCES)
SAME = Changes(title=False, kept=1, added=0, edited=False)


def changes(text: str, title: str = TITLE) -> Changes:
    return Original(TITLE, TEXT).changes(title, text)


def test_a_copy_changes_nothing_whatever_its_punctuation() -> None:
    assert changes(TEXT) == changes(TEXT.replace("\n", ""), "星河汽车召回轿车 快充后电池可能过热") == SAME


def test_each_change_is_told_apart() -> None:
    assert changes(TEXT, "电池可能过热 星河汽车召回") == Changes(title=True, kept=1, added=0, edited=False)
    cut = changes("\n".join(SENTENCES[:3]))
    assert 0.45 < cut.kept < 0.55
    assert (cut.added, cut.edited) == (0, False)
    longer = changes(TEXT + "\n本报将继续关注此事的进展，并采访其他厂商的看法。")
    assert (longer.kept, longer.edited) == (1, False)
    assert 0.08 < longer.added < 0.16
    assert changes("\n".join(reversed(SENTENCES))) == Changes(title=False, kept=1, added=0, edited=True)
    led_in = changes("据晨报消息，" + TEXT)
    assert led_in == Changes(title=False, kept=1, added=0, edited=True)


def test_a_sentence_with_every_tenth_character_replaced_is_kept() -> None:
    generator = random.Random(3)
    edited = "".join("某" if character.isalpha() and generator.random() < 0.1 else character for character in TEXT)
    assert changes(edited) == Changes(title=False, kept=1, added=0, edited=True)


@pytest.mark.parametrize("text", ["", "\n。！\n", "银行公布了三季度的业绩，净利润增长百分之九。"])
def test_what_shares_nothing_keeps_nothing(text: str) -> None:
    assert changes(text).kept == 0
    assert Original("", text).changes("", text) in (SAME, Changes(title=False, kept=0, added=1, edited=False))


@given(st.text(), st.text(), st.text(), st.text())
def test_shares_are_shares_and_a_text_is_its_own_copy(title: str, one: str, other_title: str, other: str) -> None:
    found = Original(title, one).changes(other_title, other)
    assert 0 <= found.kept <= 1
    assert 0 <= found.added <= 1
    assert found == Original(title, one).changes(other_title, other)
    own = Original(title, one).changes(title, one)
    assert not own.title
    assert not own.edited

"""The published normaliser: spellings that are no errors become one, errors stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.normaliser import characters, normalise_transcript, read_number, words


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("0", "零"),
        ("10", "十"),
        ("110", "一百一十"),
        ("1050", "一千零五十"),
        ("2000", "二千"),
        ("100010", "十万零一十"),
        ("205000", "二十万五千"),
        ("100005000", "一亿零五千"),
        ("100000005", "一亿零五"),
        ("13.05", "十三点零五"),
        ("0.95", "零点九五"),
        ("007", "零零七"),
        ("6222000011112222", "六二二二零零零零一一一一二二二二"),
    ],
)
def test_numbers_are_read(number: str, read: str) -> None:
    assert read_number(number) == read


def value_of(read: str) -> int:
    """The number that was read, by the usual rule: place words multiply, 万 and 亿 multiply what came before them."""
    total = group = digit = 0
    for character in read:
        if character in "十百千":
            group += (digit or 1) * 10 ** ("十百千".index(character) + 1)
            digit = 0
        elif character in "万亿":
            total, group, digit = total + (group + digit) * (10**4 if character == "万" else 10**8), 0, 0
        else:
            digit = "零一二三四五六七八九".index(character)
    return total + group + digit


@given(st.integers(min_value=0, max_value=10**12 - 1))
def test_a_read_number_means_itself(value: int) -> None:
    assert value_of(read_number(str(value))) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2026年3月12日,上涨12.5%。", "二零二六年三月十二日，上涨百分之十二点五"),
        ("收入1,483亿元", "收入一千四百八十三亿元"),
        ("收入两千亿元", "收入2000亿元"),
        ("華為發布了新手機！", "华为发布了新手机"),
        ("ＡＩ 芯片", "ai芯片"),
        ("早上7:30 开会", "早上七点三十分开会"),
        ("二〇三〇年", "2030年"),
        ("30多万名骑手", "三十多万名骑手"),
        ("《财经播报》—— 感谢收听", "财经播报感谢收听"),
    ],
)
def test_spellings_of_the_same_words_become_one(one: str, other: str) -> None:
    assert normalise_transcript(one) == normalise_transcript(other)


@pytest.mark.parametrize(
    ("one", "other"), [("十二", "二十"), ("华为", "花为"), ("3.5亿", "35亿"), ("open ai", "openai")]
)
def test_different_words_stay_different(one: str, other: str) -> None:
    assert normalise_transcript(one) != normalise_transcript(other)


@given(st.text(alphabet="今天华为發布會0123456789.,%: 年点亿abc，。？\u3000ＡＢ", max_size=40))
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise_transcript(text)
    assert normalise_transcript(once) == once


def test_units_of_the_two_rates() -> None:
    text = normalise_transcript("Open AI 发布新产品")
    assert characters(text) == list("openai发布新产品")
    assert words(text) == ["open", "ai", "发布", "新", "产品"]

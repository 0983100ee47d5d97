"""Numbers as they are said and as they are written."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr.normaliser import read_number, spoken_numbers
from asr.numbers import written


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("同比增长百分之十四点五", "同比增长14.5%"),
        ("不良贷款率为百分之零点九五", "不良贷款率为0.95%"),
        ("当月销售三十二万六千辆", "当月销售32.6万辆"),
        ("收入六千九百亿元", "收入6900亿元"),
        ("净利润一千四百八十三点二亿元", "净利润1483.2亿元"),
        ("二零二六年三月十二日", "2026年三月12日"),
        ("召回一万二千箱产品，共二百零五台", "召回一万二千箱产品，共205台"),
        ("房补最高八百元", "房补最高800元"),
    ],
)
def test_written(said: str, digits: str) -> None:
    assert written(said) == digits


@pytest.mark.parametrize(
    "text",
    ["三一重工千万不要一心一意", "大家十分满意，万一有一个人不来", "第一名", "百分之百努力", "三年来一点也没有变", ""],
)
def test_words_that_look_like_numbers_stay(text: str) -> None:
    assert written(text) == text


def test_spoken() -> None:
    assert spoken_numbers("净利润增长3.5%，达到1,050亿元") == "净利润增长百分之三点五，达到一千零五十亿元"
    assert spoken_numbers("2026年") == "二零二六年"


@example(1_031_323_000)
@given(st.integers(11, 10**11))
def test_what_is_read_out_can_be_written_down(value: int) -> None:
    found = written(read_number(str(value)) + "元").removesuffix("元")
    size = {"亿": 10**8, "万": 10**4}.get(found[-1], 1)
    assert Decimal(found.rstrip("亿万")) * size == value

"""Personal data is hidden, and nothing else."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.mask import mask
from yuqing.text.normalise import normalise


@pytest.mark.parametrize(
    ("text", "shown", "kind"),
    [
        ("电话13812345678，", "电话138****5678，", "mobile"),
        ("请拨打 138-1234-5678。", "请拨打 138-****-5678。", "mobile"),
        ("（+86 198 1234 5678）", "（+86 198 **** 5678）", "mobile"),
        ("身份证11010519491231002X号", "身份证110*************2X号", "id_card"),
        ("身份证11010519491231002x", "身份证110*************2x", "id_card"),
        ("卡号6228480402564890018，", "卡号6228***********0018，", "bank_card"),
        ("卡号 6228 4804 0256 4890 018", "卡号 6228 **** **** ***0 018", "bank_card"),
        ("信箱a.wang+x@mail.example.cn。", "信箱a*******@mail.example.cn。", "email"),
        ("加QQ：12345678", "加QQ：12******", "qq"),
        ("扣扣号 100200300 详谈", "扣扣号 10******* 详谈", "qq"),
        ("加微信号：zhang_san99！", "加微信号：zh*********！", "wechat"),
        ("VX:abc-12345", "VX:ab*******", "wechat"),
    ],
)
def test_what_is_hidden(text: str, shown: str, kind: str) -> None:
    found = mask(text)
    assert found.text == shown
    assert dict(found.counts) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "客服热线400-820-8820、4008208820、800-810-8888",
        "公司总机021-61234567，股票代码600000、000858.SZ",
        "订单号202311381234567890，编号20231138123456789",
        "身份证110105194912310021",  # the check digit is wrong
        "身份证11010519491331002X",  # the thirteenth month
        "卡号6228480402564890019",  # Luhn's digit is wrong
        "营收13812345678.90元，同比增13.8%",
        "https://www.example.cn/a/13812345678.html?id=13912345678&to=15012345678",
        "投资者关系：ir@example.com.cn，service@example.com",
        "微信公众号：lgbank_news，微信用户数达到12亿，微信支付",
        "QQ音乐付费用户，QQ用户12345人以下",
        "0000000000000000 4444444444444444",
    ],
)
def test_what_stays(text: str) -> None:
    assert mask(text).text == text
    assert not mask(text).counts


def test_several_in_one_text_and_full_width_digits() -> None:
    text = normalise("联系人１３８１２３４５６７８或13987654321，邮箱li@example.cn").text
    found = mask(text)
    assert found.text == "联系人138****5678或139****4321,邮箱l*@example.cn" or found.text.count("*") == 9
    assert dict(found.counts) == {"mobile": 2, "email": 1}


@given(st.text(alphabet="0123456789 -@.xXqQ微信号：:公众abv_加，", max_size=60))
def test_lengths_hold_and_a_second_pass_changes_nothing(text: str) -> None:
    once = mask(text)
    assert len(once.text) == len(text)
    assert mask(once.text).text == once.text
    assert all(new == old or new == "*" for old, new in zip(text, once.text, strict=True))


@given(st.integers(0, 10**6))
def test_every_valid_number_is_found(seed: int) -> None:
    chance = random.Random(seed)
    body = f"{chance.randint(110000, 659999)}{chance.randint(1930, 2010)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
    body += f"{chance.randint(0, 999):03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True))
    citizen = body + "10X98765432"[total % 11]
    mobile = f"1{chance.randint(3, 9)}{chance.randint(0, 10**9 - 1):09}"
    assert dict(mask(f"证件{citizen}，电话{mobile}。").counts) == {"id_card": 1, "mobile": 1}

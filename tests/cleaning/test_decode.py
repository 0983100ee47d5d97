"""Bytes to text, whatever the page says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleaning.decode import decode, repair

TEXT = "贵州茅台发布年度报告，镕㛃𠮷也在其中。"
META = '<html><head><meta charset="{}"></head><body>' + TEXT


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (META.format("utf-8").encode(), ""),
        (META.format("gb2312").encode("gb18030"), ""),
        (META.format("utf-8").encode("gb18030"), ""),  # it lies
        (META.format("gbk").encode(), "text/html; charset=gb2312"),  # both lie
        (TEXT.encode("gb18030"), "text/html; charset=GBK"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "text/html; charset=gbk"),
        (META.format("base64").encode(), "text/html; charset=no-such-thing"),
    ],
)
def test_declarations_are_tried_and_doubted(body: bytes, header: str) -> None:
    assert TEXT in decode(body, header)[0]


def test_what_no_encoding_reads_is_marked() -> None:
    text, _ = decode(TEXT.encode() + b"\xff\xff")
    assert TEXT in text
    assert "\ufffd" in text


@given(st.binary(max_size=200))
def test_decoding_never_fails(body: bytes) -> None:
    assert isinstance(decode(body)[0], str)


def test_mojibake_is_repaired_where_that_is_certain() -> None:
    assert repair(TEXT.encode().decode("latin-1")) == TEXT
    for untouched in (TEXT, "Ärger über Öl", "", "é" * 50):
        assert repair(untouched) == untouched

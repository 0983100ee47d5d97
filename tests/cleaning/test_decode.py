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


def windows_1252(data: bytes) -> str:
    """As browsers read it: the five bytes that Windows-1252 leaves out are control characters."""
    return "".join(bytes([b]).decode("cp1252") if b not in b"\x81\x8d\x8f\x90\x9d" else chr(b) for b in data)


@pytest.mark.parametrize(
    "broken",
    [
        TEXT.encode().decode("latin-1"),
        windows_1252(TEXT.encode()),
        TEXT.encode().decode("latin-1").encode().decode("latin-1"),
        f"<p>读得出的标题</p><p>{TEXT.encode().decode('latin-1')}</p>",
    ],
)
def test_mojibake_is_repaired_where_that_is_certain(broken: str) -> None:
    assert TEXT in repair(broken)


def test_gbk_read_as_latin_1_is_repaired() -> None:
    text = "贵州茅台发布年度报告，净利润增长百分之十五，每股派发现金红利二十元。"
    broken = f"<title>{text}</title>".encode("gbk").decode("latin-1")
    assert repair(broken) == f"<title>{text}</title>"


@pytest.mark.parametrize("text", [TEXT, "Ärger über Öl", "", "é" * 50, "ÀÁÂÃÄÅÆÇÈÉÊË", "«Où êtes-vous ?» — «À l’été»"])
def test_what_is_no_mojibake_stays(text: str) -> None:
    assert repair(text) == text

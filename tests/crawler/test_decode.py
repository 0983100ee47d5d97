"""Bytes become the right text, whatever is declared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.decode import decode

TEXT = "上海证券交易所今日发布公告，公司股票停牌。" * 5
META = '<html><head><meta charset="{}"></head><body>{}</body></html>'


@pytest.mark.parametrize(
    ("body", "content_type", "charset", "encoding"),
    [
        (TEXT.encode(), "text/html; charset=utf-8", None, "utf-8"),
        (TEXT.encode("gb18030"), "text/html", None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=GB2312", None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=utf-8", None, "gb18030"),  # the header lies
        (TEXT.encode(), "text/html; charset=gb2312", None, "utf-8"),  # and the other way round
        (TEXT.encode("big5", "ignore"), "text/html; charset=big5", None, "big5hkscs"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "text/html; charset=gbk", None, "utf-8"),
        (b"\xff\xfe" + TEXT.encode("utf-16-le"), "", None, "utf-16-le"),
        (TEXT.encode("gb18030"), "", "gb18030", "gb18030"),
        (b"plain", "text/html; charset=no-such-charset", None, "utf-8"),
        (TEXT.encode("gb18030"), "text/html; charset=unicode_escape", None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=utf-7", None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=base64", None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=iso-8859-1", None, "gb18030"),  # what servers say by default
        (TEXT.encode("gb18030"), 'text/html; charset="GBK"', None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=" + "x" * 10_000, None, "gb18030"),
        (TEXT.encode("gb18030"), "text/html; charset=ｇｂｋ", None, "gb18030"),
        (TEXT.encode(), "text/html; charset=utf-16", None, "utf-8"),
        (TEXT.encode("gb18030"), "text/html", "utf-8", "gb18030"),  # and not when it cannot
        (b"", "", None, "utf-8"),
    ],
)
def test_the_encoding_is_found(body: bytes, content_type: str, charset: str | None, encoding: str) -> None:
    text, found = decode(body, content_type, charset)
    assert found == encoding
    if encoding != "big5hkscs" and body not in (b"", b"plain"):
        assert text == TEXT


def test_the_page_declares_its_charset() -> None:
    page = META.format("gb2312", TEXT)
    assert decode(page.encode("gb18030"), "text/html") == (page, "gb18030")


@pytest.mark.parametrize("cut", [-1, -2])
def test_a_page_cut_inside_a_character_stays_utf8(cut: int) -> None:
    text, encoding = decode(TEXT.encode()[:cut], "text/html; charset=utf-8")
    assert encoding == "utf-8"
    assert text[:-1] == TEXT[:-1]


def test_some_broken_bytes_do_not_turn_a_page_into_another_encoding() -> None:
    body = TEXT.encode()
    broken = body[:60] + b"\x80\xff" + body[60:]
    text, encoding = decode(broken, "text/html; charset=utf-8")
    assert encoding == "utf-8"
    assert text.replace("\ufffd", "") == TEXT


@given(st.binary(), st.text(max_size=30))
def test_never_fails(body: bytes, content_type: str) -> None:
    text, encoding = decode(body, content_type)
    assert isinstance(text, str)
    assert "".encode(encoding) is not None


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=8))
def test_chinese_text_survives_both_encodings(text: str) -> None:
    assert decode(text.encode()) == (text, "utf-8")
    assert decode(text.encode("gb18030"), "text/html; charset=gb2312")[0] == text


def test_what_is_declared_as_latin_is_when_it_may_be() -> None:
    french = "Le ministre a été entendu à l'Assemblée, où il a répété ses réserves. " * 5
    assert decode(french.encode("latin-1"), "text/html; charset=iso-8859-1") == (french, "cp1252")
    page = META.format("gb2312", TEXT)
    assert decode(page.encode("gb18030"), "text/html; charset=ISO-8859-1") == (page, "gb18030")


def test_text_that_holds_what_is_no_text() -> None:
    assert decode(TEXT.encode() + b"\x00\x01" + TEXT.encode())[0] == f"{TEXT}\x00\x01{TEXT}"
    surrogates = TEXT.encode() + "\ud83d\ude00".encode("utf-8", "surrogatepass") + TEXT.encode()
    text, encoding = decode(surrogates, "text/html; charset=utf-8")
    assert encoding == "utf-8"
    assert text.replace("\ufffd", "") == TEXT * 2


@given(
    st.binary(max_size=200),
    st.sampled_from(
        [
            "utf-7",
            "unicode_escape",
            "raw_unicode_escape",
            "punycode",
            "idna",
            "gbk",
            "utf-16",
            "utf-32",
            "hz",
            "cp65001",
        ]
    ),
    st.booleans(),
)
def test_whatever_is_declared_the_text_can_be_stored(body: bytes, name: str, in_page: bool) -> None:
    declared = f'<meta charset="{name}">'.encode() if in_page else b""
    text, encoding = decode(declared + body, "" if in_page else f"text/html; charset={name}", name)
    assert text.encode("utf-8").decode("utf-8") == text  # no half characters
    "".encode(encoding)
    assert encoding not in ("utf-7", "unicode_escape", "raw_unicode_escape", "punycode", "idna")

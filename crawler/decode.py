"""From bytes to text: what the site's file, a byte order mark, the HTTP header and the page say, and what is true."""

from __future__ import annotations

import codecs
import re

# The names under which Chinese pages declare subsets of GB18030; browsers read all of them as the superset.
_SUPERSETS = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "ascii": "utf-8",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "utf-8-sig": "utf-8",
}
# What browsers read (the Encoding Standard), by Python's names; Python knows more, of which unicode_escape and utf-7 would
# turn a page's text into another. HZ is no longer among them, but was how Chinese text went by mail.
_KNOWN = frozenset(
    {
        *("utf-8", "gb18030", "hz", "big5hkscs", "euc_jp", "iso2022_jp", "cp932", "cp949", "cp866", "cp874"),
        *("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"),
        *(f"iso8859-{number}" for number in (*range(2, 9), 10, 13, 14, 15, 16)),
        *(f"cp{number}" for number in range(1250, 1259)),
    }
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_IN_HEADER = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_IN_PAGE = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_IN_XML = re.compile(rb"^\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_BEYOND_LETTERS = re.compile("[\u0800-\ufffc\ufffe-\U0010ffff]")
_BEYOND_ASCII_RUN = re.compile(rb"[\x80-\xff]{4,}")
_ASCII = bytes(range(128))
_LATIN = frozenset({"cp1252", "iso8859-15", "cp1254"})
_BROKEN_UTF8 = 0.1  # share of its non-ASCII characters that UTF-8 may lose; Chinese in GB18030 loses more than half
_LONGEST_NAME = 40  # characters of an encoding's name
_HEAD = 4096  # bytes searched for a declaration; the HTML standard asks pages to have it in the first 1,024


def decode(body: bytes, content_type: str = "", charset: str | None = None) -> tuple[str, str]:
    """(text, name of the encoding). Never fails: what no encoding reads becomes U+FFFD.

    A byte order mark decides, then `charset` (the site's file). Then UTF-8 is tried whatever is declared, because it
    checks itself: text in another encoding is not UTF-8 by accident, while broken UTF-8 easily passes for GB18030. Then
    the header, the page's own declaration and GB18030; the first that decodes every byte wins, so that a declaration
    that lies is passed over, and when none does, the one that loses the fewest characters.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    wanted = _known(charset)
    if wanted and (text := _strictly(body, wanted)) is not None:
        return text, wanted
    text = body.decode("utf-8", "replace")
    lost = text.count("\ufffd")
    # Letters below U+0800 alone prove nothing: a few Chinese words in GB18030 (联通) are such letters in UTF-8.
    if text.isascii() or (_BEYOND_LETTERS.search(text) and (not lost or lost <= _BROKEN_UTF8 * _not_ascii(text))):
        return text, "utf-8"
    head = body[:_HEAD]
    declared = [_IN_HEADER.search(content_type), *(pattern.search(head) for pattern in (_IN_XML, _IN_PAGE))]
    names = (wanted, *map(_known, map(_first, declared)), None if lost else "utf-8", "gb18030")
    candidates = dict.fromkeys(name for name in names if name and not (name in _LATIN and _is_no_latin(body)))
    for name in candidates:
        if (text := _strictly(body, name)) is not None:
            return text, name
    readings = ((body.decode(name, "replace"), name) for name in candidates)
    return min(readings, key=lambda reading: reading[0].count("\ufffd"))


def _is_no_latin(body: bytes) -> bool:
    """Whether letters that are not ASCII follow one another, as they do in Chinese and not in any language of Latin-1.

    Latin-1 reads every byte, so that it cannot be found wrong, and is what servers declare whose owner has not said anything.
    """
    beyond = len(body.translate(None, _ASCII))
    return sum(map(len, _BEYOND_ASCII_RUN.findall(body))) > beyond / 2


def _strictly(body: bytes, name: str) -> str | None:
    try:
        return body.decode(name)
    except UnicodeDecodeError:
        return None


def _not_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _first(match: re.Match[str] | re.Match[bytes] | None) -> str | None:
    if match is None:
        return None
    found = match[1]
    return found.decode("ascii", "replace") if isinstance(found, bytes) else found


def _known(name: str | None) -> str | None:
    if not name or len(name) > _LONGEST_NAME:
        return None
    try:
        canonical = codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError):
        return None
    # A page cannot declare UTF-16 in ASCII and mean it (HTML standard, 13.2.3.2): it is UTF-8.
    canonical = "utf-8" if canonical.startswith("utf-16") else _SUPERSETS.get(canonical, canonical)
    return canonical if canonical in _KNOWN else None

"""Bytes or stored text to a page that can be parsed."""

import codecs
import re

# Chinese pages declare the small sets and use the large one: GB18030 contains GB2312 and GBK, Big5-HKSCS contains Big5.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-1": "cp1252"}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HEAD = 4096  # the HTML standard asks for the declaration within the first 1,024 bytes; comments push it further in practice

# The first bytes of UTF-8 ideographs read as Latin-1 or Windows-1252: ä, å, æ, ç, è, é followed by two of 0x80-0xBF.
_MOJIBAKE = re.compile("[\u00e4-\u00e9][\u0080-\u00bf\u0152-\u02dc\u2013-\u2122\u20ac]{2}")
_MOJIBAKE_SHARE = 0.2


def decode(body: bytes, content_type: str = "") -> tuple[str, str]:
    """(text, encoding). Never fails.

    In order: a byte order mark, the header's charset, the page's own declaration, UTF-8, GB18030; the first that reads
    every byte wins, so a lying declaration is passed over. When none does, the one that loses the fewest characters.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace"), name
    declared = [*_DECLARED.findall(content_type.encode(errors="replace")), *_DECLARED.findall(body[:_HEAD])]
    known = [name for name in (_known(item.decode("ascii", "replace")) for item in declared) if name]
    candidates = list(dict.fromkeys([*known, "utf-8", "gb18030"]))
    for name in candidates:
        try:
            return body.decode(name), name
        except UnicodeDecodeError:
            continue
    return min(((body.decode(name, "replace"), name) for name in candidates), key=lambda pair: pair[0].count("\ufffd"))


def _known(name: str) -> str | None:
    try:
        canonical = codecs.lookup(name).name
        "".encode(canonical)  # refuses codecs that are no character sets, such as base64
    except (LookupError, UnicodeError):
        return None
    # A declaration that can be read as ASCII is not in UTF-16 (HTML standard 13.2.3.2).
    return "utf-8" if canonical.startswith("utf-16") else _SUPERSETS.get(canonical, canonical)


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 or Windows-1252, where that is certain: the whole text turns back."""
    suspicious = 3 * len(_MOJIBAKE.findall(text))
    if suspicious < 9 or suspicious < _MOJIBAKE_SHARE * len(text):
        return text
    for name in ("latin-1", "cp1252"):
        try:
            return text.encode(name).decode("utf-8")
        except UnicodeError:
            continue
    return text

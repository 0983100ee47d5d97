"""Bytes or stored text to a page that can be parsed."""

import codecs
import re

# Chinese pages declare the small sets and use the large one: GB18030 contains GB2312 and GBK, Big5-HKSCS contains Big5.
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-1": "cp1252"}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_HEAD = 4096  # the HTML standard asks for the declaration within the first 1,024 bytes; comments push it further in practice

# Characters as the bytes that Latin-1 and Windows-1252 make them from; browsers read the five bytes that Windows-1252
# leaves out as Latin-1 does.
_BYTES = {
    **{bytes([b]).decode("cp1252", "ignore"): b for b in range(0x80, 0xA0)},
    **{chr(b): b for b in range(0x80, 0x100)},
}
_BYTES.pop("", None)
_CONTINUATION = "[" + re.escape("".join(char for char, byte in _BYTES.items() if byte < 0xC0)) + "]"
# Three and more sequences of UTF-8, one after another: no European text has them. é, è or ä beside « and a dash have one.
_FEWEST = 3
_LEADS = re.compile("[\u00c2-\u00f4]")  # each sequence has one, and so has every other pair of GBK
_MOJIBAKE = re.compile(
    f"(?:[\u00c2-\u00df]{_CONTINUATION}|[\u00e0-\u00ef]{_CONTINUATION}{{2}}|[\u00f0-\u00f4]{_CONTINUATION}{{3}}){{{_FEWEST},}}"
)
# GBK read as Latin-1: pairs of 0xA1-0xFE, nearly all of them from the rows of common characters or of punctuation.
_PAIRS = re.compile("(?:[\u00a1-\u00fe]{2}){4,}")
_COMMON_SHARE = 0.9
_FEWEST_IN_PAIRS = 40  # characters; an alphabet of accented letters has 30


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
    """Undo UTF-8 (once or twice) or GBK that was read as Latin-1 or Windows-1252, where that is certain, also in parts."""
    if len(_LEADS.findall(text)) < _FEWEST:
        return text
    for _ in range(2):
        repaired = _MOJIBAKE.sub(_from_utf8, text)
        if repaired == text:
            break
        text = repaired
    if sum(map(len, _PAIRS.findall(text))) >= _FEWEST_IN_PAIRS:
        text = _PAIRS.sub(_from_gbk, text)
    return text


def _from_utf8(match: re.Match[str]) -> str:
    try:
        return bytes(_BYTES[character] for character in match[0]).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def _from_gbk(match: re.Match[str]) -> str:
    data = match[0].encode("latin-1")
    common = sum(0xB0 <= lead <= 0xD7 or lead in (0xA1, 0xA3) for lead in data[::2])
    if common < _COMMON_SHARE * len(data) / 2:
        return match[0]
    try:
        return data.decode("gb18030")
    except UnicodeDecodeError:
        return match[0]

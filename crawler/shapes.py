"""The shapes of addresses: what stays the same in those of one kind of page, and what is a date, a number or a name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from crawler.domains import SUFFIXES

Kind = Literal["text", "word", "year", "month", "day", "monthday", "date", "number", "hex", "mixed", "slug", "other"]

_EXTENSION = re.compile(r"\.[A-Za-z]{2,5}$")
_PARTS = re.compile(r"[A-Za-z0-9]+|[^A-Za-z0-9]+")
_PREFIXED = re.compile(r"([A-Za-z]{1,4})(\d+)")  # c1004, t20261120, ID45
_YEAR = re.compile(r"(?:19[9]\d|20[0-4]\d)")
_DATE = re.compile(r"20[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_YEAR_MONTH = re.compile(r"20[0-4]\d(?:0[1-9]|1[0-2])")
_MONTH = re.compile(r"0?[1-9]|1[0-2]")
_DAY = re.compile(r"0?[1-9]|[12]\d|3[01]")
_MONTH_DAY = re.compile(r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_HEX = re.compile(r"[0-9a-f]{8,}")
_SLUG_WORDS = 4  # words joined by hyphens from which a part is a title and not the name of a channel
DATED = frozenset({"year", "date", "monthday"})
IDENTIFYING = frozenset({"number", "hex", "mixed", "slug", "date", "monthday"})


@dataclass(frozen=True)
class Atom:
    """A piece of an address. Of kind `text` is what separates, `word` a part of letters, the others vary."""

    kind: Kind
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """What addresses of one shape have in common here."""
        return (self.kind, self.text if self.kind in ("text", "word") else "")


def atoms(url: str) -> tuple[Atom, ...]:
    """The pieces of an address after its host: path and parameters."""
    parts = urlsplit(url)
    found: list[Atom] = []
    segments = parts.path.split("/")[1:]
    for number, segment in enumerate(segments):
        found.append(Atom("text", "/"))
        extension = _EXTENSION.search(segment) if number == len(segments) - 1 else None
        found += _pieces(segment[: extension.start()] if extension else segment, found)
        if extension:
            found.append(Atom("text", extension[0]))
    for number, pair in enumerate(parts.query.split("&") if parts.query else []):
        name, equals, value = pair.partition("=")
        found.append(Atom("text", f"{'&' if number else '?'}{name}{equals}"))
        found += _pieces(value, found)
    return tuple(found)


def _pieces(text: str, before: Sequence[Atom]) -> list[Atom]:
    if not text:
        return []
    if not text.isascii() or "%" in text:
        return [Atom("other", text)]
    words = text.split("-")
    if len(words) >= _SLUG_WORDS and sum(word.isalpha() for word in words) >= _SLUG_WORDS - 1:
        return [Atom("slug", text)]
    found: list[Atom] = []
    for part in _PARTS.findall(text):
        if not part[0].isalnum():
            found.append(Atom("text", part))
        elif part.isdigit():
            found.append(_number(part, [*before, *found]))
        elif part.isalpha() or len(part) == 2:
            found.append(Atom("word", part))
        elif (match := _PREFIXED.fullmatch(part)) and not (_HEX.fullmatch(part) and not _DATE.fullmatch(match[2])):
            found += [Atom("word", match[1]), _number(match[2], [])]
        else:
            found.append(Atom("hex" if _HEX.fullmatch(part) else "mixed", part))
    return found


def _number(digits: str, before: Sequence[Atom]) -> Atom:
    previous = [atom.kind for atom in before if atom.kind not in ("text", "word")][-1:]
    if _DATE.fullmatch(digits):
        return Atom("date", digits)
    if previous == ["year"]:
        if _MONTH_DAY.fullmatch(digits):
            return Atom("monthday", digits)
        if len(digits) <= 2 and _MONTH.fullmatch(digits):
            return Atom("month", digits)
    if previous == ["month"] and len(digits) <= 2 and _DAY.fullmatch(digits):
        return Atom("day", digits)
    if _YEAR.fullmatch(digits):
        return Atom("year", digits)
    if _YEAR_MONTH.fullmatch(digits):
        return Atom("date", digits)
    return Atom("number", digits)


def shape(url: str) -> str:
    r"""An address with what varies replaced, to be read: https://www.a.cn/stock/\d{4}-\d{2}-\d{2}/doc-\d{6}.html"""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + "".join(map(_shown, atoms(url)))


def _shown(atom: Atom) -> str:
    match atom.kind:
        case "text" | "word":
            return atom.text
        case "hex":
            return f"[0-9a-f]{{{len(atom.text)}}}"
        case "mixed":
            return f"[0-9A-Za-z]{{{len(atom.text)}}}"
        case "slug":
            return r"[\w-]+"
        case "other":
            return "[^/]+"
        case _:
            return f"\\d{{{len(atom.text)}}}"


def frequent_shapes(urls: Iterable[str], most: int = 5) -> list[tuple[str, int]]:
    """The shapes of the addresses, the most frequent first, with how many addresses have each."""
    return Counter(map(shape, urls)).most_common(most)


def key(url: str) -> tuple[tuple[str, str], ...]:
    """What the addresses of one kind of page have in common after their host."""
    return tuple(atom.key for atom in atoms(url))


def pattern(urls: Sequence[str], *, any_word: bool = False) -> str:
    """The regular expression of addresses whose atoms are of the same kinds; words that differ become a choice.

    With `any_word` a whole segment that differs stands for any channel's name. Numbers may grow: one of n digits
    matches from n - 1 digits on; dates keep their length.
    """
    hosts = {urlsplit(url).netloc for url in urls}
    columns = list(zip(*map(atoms, urls), strict=True))
    expression = "".join(_expression(columns, number, any_word) for number in range(len(columns)))
    return rf"https?://{_host_pattern(hosts)}{expression}$"


def _host_pattern(hosts: set[str]) -> str:
    if len(hosts) == 1:
        return re.escape(next(iter(hosts))).replace(r"\-", "-")
    domain = _common_domain(hosts)
    return r"[\w.-]+\." + re.escape(domain).replace(r"\-", "-") if domain else _choice(hosts)


def _common_domain(hosts: set[str]) -> str:
    """The ending that all hosts share, of at least two labels and below a public suffix such as com.cn; "" for none."""
    labels = [host.split(".")[::-1] for host in hosts]
    shared: list[str] = []
    for column in zip(*labels, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    domain = ".".join(reversed(shared))
    registered = len(shared) >= 2 and SUFFIXES(domain).suffix != domain
    return domain if registered and domain not in hosts else ""


def _expression(columns: Sequence[tuple[Atom, ...]], number: int, any_word: bool) -> str:
    column = columns[number]
    texts = {atom.text for atom in column}
    shortest, longest = min(map(len, texts)), max(map(len, texts))
    kind = "mixed" if any(atom.kind == "mixed" for atom in column) else column[0].kind
    match kind:
        case "text":
            return _literal(column[0].text)
        case "word":
            if len(texts) == 1:
                return _literal(column[0].text)
            return r"[a-z][\w-]*" if any_word else _choice(texts)
        case "number":
            return rf"\d{{{shortest - 1},}}" if shortest > 3 else r"\d+"
        case "hex":
            return f"[0-9a-f]{{{shortest}}}" if shortest == longest else f"[0-9a-f]{{{shortest},{longest}}}"
        case "mixed":
            return "[0-9A-Za-z]+"
        case "slug":
            return r"[\w-]+"
        case "other":
            return "[^/?]+"
        case _:
            return rf"\d{{{shortest}}}" if shortest == longest else rf"\d{{{shortest},{longest}}}"


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\-", "-").replace(r"\=", "=").replace(r"\&", "&").replace(r"\/", "/")


def _choice(texts: Iterable[str]) -> str:
    return f"(?:{'|'.join(_literal(text) for text in sorted(texts))})"


def kinds(url: str) -> tuple[str, ...]:
    """The kinds of an address's atoms; whole segments of one word are not told apart, since channels look alike."""
    found = atoms(url)
    result = []
    for number, atom in enumerate(found):
        alone = (
            atom.kind == "word"
            and found[number - 1].text == "/"
            and (number + 1 == len(found) or found[number + 1].text == "/")
        )
        if alone:
            result.append("channel")
        elif atom.kind == "hex":
            result.append("mixed")  # letters and digits may happen to be hexadecimal ones
        else:
            result.append("".join(atom.key))
    return tuple(result)


def grouped(urls: Iterable[str]) -> list[list[str]]:
    """The addresses by `kinds`, the largest group first."""
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for url in urls:
        groups[kinds(url)].append(url)
    return sorted(groups.values(), key=len, reverse=True)

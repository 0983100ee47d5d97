"""The boolean query of a company: which documents are about it when its names alone do not tell.

    query := or
    or    := and (OR and)*
    and   := not ([AND] not)*            words side by side mean AND
    not   := NOT not | near
    near  := unit (NEAR/n unit)*         at most n characters between the two, in either order
    unit  := word | "a phrase" | 600???.SH | AAPL* | ( query )

Operators are in capitals, so that a company may be called "and". A ? stands for one Latin letter or digit and a * for up to
WILDCARD_REACH letters, digits and dots; both only in words of these, after two that are written out. Full-width quotes and
parentheses are read like plain ones.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from yuqing.errors import YuqingError
from yuqing.text.normalise import fold, normalise

LONGEST_QUERY = 2_000  # characters
MOST_WORDS = 200
DEEPEST = 30  # parentheses inside parentheses
FARTHEST = 500  # characters that NEAR may bridge: a paragraph or two
WILDCARD_REACH = 20

_TOKEN = re.compile(
    r'(?P<open>[(（])|(?P<close>[)）])|["“”](?P<phrase>[^"“”]*)(?P<end>["“”]?)|(?P<word>[^\s()（）"“”]+)'
)
_NEAR = re.compile(r"NEAR(?:/(\d{1,4}))?$")
_WILDCARD = re.compile(r"[0-9a-z][0-9a-z.]+[0-9a-z.?*]*")


class QueryError(YuqingError):
    """A query that cannot be read. `position` is the character (from 0) at which, `length` how many are concerned."""

    def __init__(self, reason: str, position: int, length: int = 1) -> None:
        super().__init__(f"at character {position + 1}: {reason}")
        self.position, self.length = position, length


@dataclass(frozen=True, order=True)
class Hit:
    """A word of a query at characters [start, end) of a field (0 title, 1 text)."""

    field: int
    start: int
    end: int


Find = Callable[["Word"], Sequence[Hit]]
"""Where a word stands, in order."""


@dataclass(frozen=True)
class Word:
    """A word or phrase, normalised and folded; with a pattern when it holds wildcards."""

    text: str
    pattern: re.Pattern[str] | None = field(default=None, compare=False)

    def hits(self, find: Find) -> list[Hit] | None:
        return list(find(self)) or None

    def words(self) -> Iterator[Word]:
        yield self

    positive = True


@dataclass(frozen=True)
class And:
    """All parts; the hits are those of all."""

    parts: tuple[Node, ...]

    def hits(self, find: Find) -> list[Hit] | None:
        found: list[Hit] = []
        for part in self.parts:
            hits = part.hits(find)
            if hits is None:
                return None
            found += hits
        return found

    def words(self) -> Iterator[Word]:
        for part in self.parts:
            yield from part.words()

    @property
    def positive(self) -> bool:
        return any(part.positive for part in self.parts)


@dataclass(frozen=True)
class Or:
    """Any part; the hits are those of all that hold."""

    parts: tuple[Node, ...]

    def hits(self, find: Find) -> list[Hit] | None:
        found = [hits for part in self.parts if (hits := part.hits(find)) is not None]
        return [hit for hits in found for hit in hits] if found else None

    def words(self) -> Iterator[Word]:
        for part in self.parts:
            yield from part.words()

    @property
    def positive(self) -> bool:
        return all(part.positive for part in self.parts)


@dataclass(frozen=True)
class Not:
    """The part does not hold."""

    part: Node

    def hits(self, find: Find) -> list[Hit] | None:
        return [] if self.part.hits(find) is None else None

    def words(self) -> Iterator[Word]:
        return iter(())  # what must be absent leads to no document

    positive = False


@dataclass(frozen=True)
class Near:
    """A hit of each side with at most `distance` characters of one field between them."""

    left: Node
    right: Node
    distance: int

    def hits(self, find: Find) -> list[Hit] | None:
        left, right = self.left.hits(find), self.right.hits(find)
        if not left or not right:
            return None
        found: set[Hit] = set()
        right = sorted(set(right))
        longest = max(hit.end - hit.start for hit in right)
        for hit in set(left):
            # From the first that could end near enough.
            first = bisect_left(right, Hit(hit.field, hit.start - self.distance - longest, 0))
            for other in right[first:]:
                if other.field != hit.field or other.start - hit.end > self.distance:
                    break
                if other != hit and hit.start - other.end <= self.distance:
                    found |= {hit, other}
        return sorted(found) or None

    def words(self) -> Iterator[Word]:
        yield from self.left.words()
        yield from self.right.words()

    positive = True


Node = Word | And | Or | Not | Near


@dataclass(frozen=True)
class Query:
    """A query that was read. `words` are those of which a document must have one to match at all."""

    root: Node

    @property
    def words(self) -> tuple[Word, ...]:
        """Each once, in their order; those under NOT are left out."""
        return tuple(dict.fromkeys(self.root.words()))

    def all_words(self) -> tuple[Word, ...]:
        """Each once, also those under NOT: what has to be looked for."""
        return tuple(dict.fromkeys(_every_word(self.root)))

    def match(self, find: Find) -> list[Hit] | None:
        """The hits that make a document match, in order; None when it does not."""
        hits = self.root.hits(find)
        return None if hits is None else sorted(set(hits))


def parse(query: str) -> Query:
    """Read a query. Raises QueryError, which says what is wrong and where."""
    if len(query) > LONGEST_QUERY:
        raise QueryError(f"the query has {len(query)} characters; {LONGEST_QUERY} are allowed", LONGEST_QUERY)
    return _Parser(query).query()


def _every_word(node: Node) -> Iterator[Word]:
    match node:
        case Word():
            yield node
        case And() | Or():
            for part in node.parts:
                yield from _every_word(part)
        case Not():
            yield from _every_word(node.part)
        case Near():
            yield from _every_word(node.left)
            yield from _every_word(node.right)


@dataclass(frozen=True)
class _Token:
    kind: str  # open, close, word, phrase, AND, OR, NOT, NEAR, end
    text: str
    position: int
    length: int
    distance: int = 0


class _Parser:
    """Recursive descent over the tokens, one method a rule of the grammar."""

    def __init__(self, query: str) -> None:
        self._tokens = list(_tokens(query))
        self._index = 0
        self._depth = 0
        self._words = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        token = self._next
        self._index += 1
        return token

    def query(self) -> Query:
        if self._next.kind == "end":
            raise QueryError("the query is empty; write a name, or names joined by AND, OR, NOT", 0, 0)
        root = self._or()
        if self._next.kind == "close":
            raise QueryError("this parenthesis closes nothing", self._next.position)
        if not root.positive:
            raise QueryError(
                "the query asks only for what must be missing and would match nearly everything; join a word to it by AND",
                0,
                self._next.position,
            )
        return Query(root)

    def _or(self) -> Node:
        parts = [self._and()]
        while self._next.kind == "OR":
            self._take()
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _and(self) -> Node:
        parts = [self._not()]
        while self._next.kind in ("AND", "NOT", "word", "phrase", "open"):
            if self._next.kind == "AND":
                self._take()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _not(self) -> Node:
        negations = 0
        while self._next.kind == "NOT":
            self._take()
            negations += 1
        near = self._near()
        # Twice NOT is a slip of the pen, and read as what it says.
        return Not(near) if negations % 2 else near

    def _near(self) -> Node:
        left = self._unit()
        while self._next.kind == "NEAR":
            operator = self._take()
            right = self._unit()
            for side in (left, right):
                if not _has_places(side):
                    raise QueryError(
                        "NEAR joins words, or words in parentheses joined by OR", operator.position, operator.length
                    )
            left = Near(left, right, operator.distance)
        return left

    def _unit(self) -> Node:
        token = self._take()
        if token.kind in ("word", "phrase"):
            self._words += 1
            if self._words > MOST_WORDS:
                raise QueryError(f"more than {MOST_WORDS} words", token.position, token.length)
            return _word(token)
        if token.kind != "open":
            raise QueryError(
                _missing(token, self._tokens[self._index - 2] if self._index > 1 else None), token.position
            )
        self._depth += 1
        if self._depth > DEEPEST:
            raise QueryError(f"more than {DEEPEST} parentheses inside each other", token.position)
        inner = self._or()
        if self._next.kind != "close":
            raise QueryError("this parenthesis is never closed", token.position)
        self._take()
        self._depth -= 1
        return inner


def _missing(token: _Token, before: _Token | None) -> str:
    what = {"end": "the end", "close": "a closing parenthesis"}.get(token.kind, token.text)
    after = f" after {before.text}" if before and before.text else ""
    return f"a word is missing{after}; here comes {what}"


def _has_places(node: Node) -> bool:
    return isinstance(node, Word | Near) or (isinstance(node, Or) and all(map(_has_places, node.parts)))


def _tokens(query: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(query):
        position, length = match.start(), match.end() - match.start()
        if match["open"] or match["close"]:
            yield _Token("open" if match["open"] else "close", match[0], position, length)
        elif match["phrase"] is not None:
            if not match["end"]:
                raise QueryError("this quotation mark is never closed", position)
            yield _Token("phrase", match["phrase"], position, length)
        elif match[0] in ("AND", "OR", "NOT"):
            yield _Token(match[0], match[0], position, length)
        elif near := _NEAR.match(match[0]):
            distance = int(near[1]) if near[1] else 0
            if not 1 <= distance <= FARTHEST:
                raise QueryError(
                    f"write how many characters may lie between: NEAR/1 to NEAR/{FARTHEST}", position, length
                )
            yield _Token("NEAR", match[0], position, length, distance)
        else:
            yield _Token("word", match[0], position, length)
    yield _Token("end", "", len(query), 0)


def _word(token: _Token) -> Word:
    text = fold(normalise(token.text).text)
    if not any(character.isalnum() for character in text):
        raise QueryError("holds no letter and no digit", token.position, token.length)
    if token.kind == "phrase" or not ("*" in text or "?" in text or "？" in text):
        return Word(text)
    text = text.replace("？", "?")
    if not _WILDCARD.fullmatch(text):
        raise QueryError(
            "? and * stand in words of Latin letters and digits, after two that are written out (600???.SH, AAPL*);"
            " put the word in quotation marks to find the sign itself",
            token.position,
            token.length,
        )
    return Word(text, _compiled(text))


def _compiled(wildcard: str) -> re.Pattern[str]:
    body = "".join(
        "[0-9a-z]" if sign == "?" else f"[0-9a-z.]{{0,{WILDCARD_REACH}}}" if sign == "*" else re.escape(sign)
        for sign in wildcard
    )
    return re.compile(f"(?<![0-9a-z]){body}(?![0-9a-z])")

"""Who is mentioned: every name and alias of the watchlist, found at once by an Aho-Corasick automaton.

The texts have to be normalised (yuqing.text.normalise); names are normalised here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import ahocorasick

from yuqing.contracts import Mention
from yuqing.text.normalise import fold, normalise

# A news lead says who, what and where in its first sentences: about 150 characters in Chinese agency style.
LEAD_CHARACTERS = 150

# Relevance of one document to one company, in [0, 1]: the title says what it is about, the lead nearly so, and each
# further mention adds half of what is left of the last share. The weights are conventions, chosen so that a name in
# the title alone outweighs any number of mentions in the body alone.
TITLE_WEIGHT, LEAD_WEIGHT, BODY_WEIGHT = 0.5, 0.25, 0.25


class Watched(Protocol):
    """What a company on the watchlist has to have."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> Sequence[str]: ...
    @property
    def exclude_words(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Span:
    """A name of a company at characters [start, end) of a text."""

    company_id: int
    start: int
    end: int


@dataclass(frozen=True)
class Relevance:
    """Where a company is mentioned and what that is worth."""

    company_id: int
    in_title: bool
    in_lead: bool
    mentions: int
    score: float


@dataclass
class _Entry:
    """What the automaton knows of a word: whose name it is, and for whom it blocks the names inside it."""

    length: int
    names_of: set[int]
    excluded_for: set[int]


def _is_latin_or_digit(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"


def _at_borders(text: str, start: int, end: int) -> bool:
    """A Latin or digit name must not be a part of a longer word; next to Chinese characters it may stand."""
    if start > 0 and _is_latin_or_digit(text[start]) and _is_latin_or_digit(text[start - 1]):
        return False
    return not (end < len(text) and _is_latin_or_digit(text[end - 1]) and _is_latin_or_digit(text[end]))


class Matcher:
    """The watchlist as one automaton; built once, then asked for each text."""

    def __init__(self, companies: Iterable[Watched]) -> None:
        self._automaton = ahocorasick.Automaton()
        self.empty = True
        for company in companies:
            for name in (company.name, *company.aliases):
                if word := self._entry(name):
                    word.names_of.add(company.id)
                    self.empty = False
            for exclude_word in company.exclude_words:
                if word := self._entry(exclude_word):
                    word.excluded_for.add(company.id)
        if not self.empty:
            self._automaton.make_automaton()

    def _entry(self, name: str) -> _Entry | None:
        word = fold(normalise(name).text)
        if not word:
            return None
        entry = self._automaton.get(word, None)
        if not isinstance(entry, _Entry):
            entry = _Entry(len(word), set(), set())
            self._automaton.add_word(word, entry)
        return entry

    def spans(self, text: str) -> list[Span]:
        """Every mention in a normalised text, in order of position, then company.

        Of overlapping names the longest counts (苹果园 is not 苹果), of equally long ones the first; a name inside an
        exclude word of its own company does not count (苹果 in 苹果树). Several companies may share one name.
        """
        if self.empty:
            return []
        names: list[tuple[int, int, set[int]]] = []
        blocked: list[tuple[int, int, set[int]]] = []
        for last, entry in self._automaton.iter(fold(text)):
            start, end = last + 1 - entry.length, last + 1
            if not _at_borders(text, start, end):
                continue
            if entry.names_of:
                names.append((start, end, entry.names_of))
            if entry.excluded_for:
                blocked.append((start, end, entry.excluded_for))
        return sorted(self._choose(names, blocked), key=lambda span: (span.start, span.company_id))

    @staticmethod
    def _choose(names: list[tuple[int, int, set[int]]], blocked: list[tuple[int, int, set[int]]]) -> Iterator[Span]:
        taken: set[int] = set()
        for start, end, owners in sorted(names, key=lambda name: (name[0] - name[1], name[0])):
            if start in taken or end - 1 in taken:
                continue
            excluded = {
                company for low, high, companies in blocked if low <= start and end <= high for company in companies
            }
            allowed = owners - excluded
            if allowed:
                taken.update(range(start, end))
            yield from (Span(company, start, end) for company in allowed)

    def mentions(self, title: str, text: str) -> list[Mention]:
        """The mentions in a document's normalised title and text, title first."""
        found = [("title", title, span) for span in self.spans(title)] + [
            ("text", text, span) for span in self.spans(text)
        ]
        return [
            Mention(
                company_id=span.company_id,
                field="title" if field == "title" else "text",
                start=span.start,
                end=span.end,
                name=where[span.start : span.end],
            )
            for field, where, span in found
        ]


def relevance(mentions: Iterable[Mention]) -> list[Relevance]:
    """How much a document is about each company it mentions, by company id: see the weights at the top."""
    by_company: dict[int, list[Mention]] = {}
    for mention in mentions:
        by_company.setdefault(mention.company_id, []).append(mention)
    answers = []
    for company_id, places in sorted(by_company.items()):
        in_title = any(place.field == "title" for place in places)
        in_lead = any(place.field == "text" and place.start < LEAD_CHARACTERS for place in places)
        in_text = sum(place.field == "text" for place in places)
        score = TITLE_WEIGHT * in_title + LEAD_WEIGHT * in_lead + BODY_WEIGHT * (1 - 0.5**in_text)
        answers.append(Relevance(company_id, in_title, in_lead, len(places), round(score, 4)))
    return answers

"""Who is mentioned: every name and alias of the watchlist, and every word of its queries, found at once by an
Aho-Corasick automaton.

The texts have to be normalised (yuqing.text.normalise); names are normalised here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ahocorasick_rs import AhoCorasick

from yuqing.contracts import Mention
from yuqing.text.normalise import fold, normalise
from yuqing.text.query import Hit, Query, QueryError, Word, parse

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
    @property
    def query(self) -> str | None: ...


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
    """What the automaton knows of a word: whose name it is, for whom it blocks the names inside it, whether a query asks."""

    names_of: set[int] = field(default_factory=set)
    excluded_for: set[int] = field(default_factory=set)
    asked_as: Word | None = None


@dataclass
class _Found:
    """Everything that the automaton finds in one text: (start, end, whose) of names and exclude words, words of queries."""

    names: list[tuple[int, int, set[int]]] = field(default_factory=list)
    blocked: list[tuple[int, int, set[int]]] = field(default_factory=list)
    words: dict[Word, list[tuple[int, int]]] = field(default_factory=dict)


def _is_latin_or_digit(character: str) -> bool:
    return character.isalnum() and character < "\u2e80"


def _at_borders(text: str, start: int, end: int) -> bool:
    """A Latin or digit name must not be a part of a longer word; next to Chinese characters it may stand."""
    if start > 0 and _is_latin_or_digit(text[start]) and _is_latin_or_digit(text[start - 1]):
        return False
    return not (end < len(text) and _is_latin_or_digit(text[end - 1]) and _is_latin_or_digit(text[end]))


class Matcher:
    """The watchlist as one automaton; built once, then asked for each text.

    broken: the reason by company id for each query that cannot be read; such a company is found by its names alone.
    """

    def __init__(self, companies: Iterable[Watched]) -> None:
        entries: dict[str, _Entry] = {}
        self._queries: dict[int, Query] = {}
        self._asking: dict[Word, list[int]] = {}
        self._wildcards: set[Word] = set()
        self.broken: dict[int, str] = {}
        for company in companies:
            for name in (company.name, *company.aliases):
                if entry := _entry(entries, name):
                    entry.names_of.add(company.id)
            for exclude_word in company.exclude_words:
                if entry := _entry(entries, exclude_word):
                    entry.excluded_for.add(company.id)
            if company.query:
                self._ask(entries, company.id, company.query)
        self._entries = list(entries.values())
        self._automaton = AhoCorasick(entries)

    def _ask(self, entries: dict[str, _Entry], company_id: int, query: str) -> None:
        try:
            parsed = parse(query)
        except QueryError as problem:
            self.broken[company_id] = problem.message
            return
        self._queries[company_id] = parsed
        for word in parsed.words:
            self._asking.setdefault(word, []).append(company_id)
        for word in parsed.all_words():
            if word.pattern:
                self._wildcards.add(word)
            elif entry := _entry(entries, word.text):
                entry.asked_as = word

    def spans(self, text: str) -> list[Span]:
        """Every name in a normalised text, in order of position, then company; queries are not asked (see mentions).

        Of overlapping names the longest counts (苹果园 is not 苹果), of equally long ones the first; a name inside an
        exclude word of its own company does not count (苹果 in 苹果树). Several companies may share one name.
        """
        found = self._find(text)
        return sorted(self._choose(found.names, found.blocked), key=lambda span: (span.start, span.company_id))

    def _find(self, text: str) -> _Found:
        found = _Found()
        folded = fold(text)
        for number, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            if not _at_borders(text, start, end):
                continue
            entry = self._entries[number]
            if entry.names_of:
                found.names.append((start, end, entry.names_of))
            if entry.excluded_for:
                found.blocked.append((start, end, entry.excluded_for))
            if entry.asked_as:
                found.words.setdefault(entry.asked_as, []).append((start, end))
        for word in self._wildcards:
            if word.pattern and (places := [match.span() for match in word.pattern.finditer(folded)]):
                found.words[word] = places
        return found

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
        """The mentions in a document's normalised title and text, title first.

        A company with a query is mentioned when the query matches the document: where its names stand, or, when none
        does, where the words of the query stand that made it match.
        """
        fields = (title, text)
        found = [self._find(part) for part in fields]
        hits: dict[Word, list[Hit]] = {}
        for number, part in enumerate(found):
            for word, spots in part.words.items():
                hits.setdefault(word, []).extend(Hit(number, start, end) for start, end in spots)
        # Only queries that have a word in this document can match it.
        asking = {company_id for word in hits for company_id in self._asking.get(word, ())}
        asked = {company_id: self._queries[company_id].match(lambda word: hits.get(word, ())) for company_id in asking}
        places = [
            (number, span)
            for number, part in enumerate(found)
            for span in self._choose(part.names, part.blocked)
            if span.company_id not in self._queries or asked.get(span.company_id) is not None
        ]
        named = {span.company_id for _, span in places}
        for company_id, words in asked.items():
            if words and company_id not in named:
                places += ((hit.field, Span(company_id, hit.start, hit.end)) for hit in _apart(words))
        places.sort(key=lambda place: (place[0], place[1].start, place[1].company_id))
        return [
            Mention(
                company_id=span.company_id,
                field="text" if number else "title",
                start=span.start,
                end=span.end,
                name=fields[number][span.start : span.end],
            )
            for number, span in places
        ]


def _entry(entries: dict[str, _Entry], name: str) -> _Entry | None:
    """The entry of a word, made when it is new; None when nothing of it is left by normalisation."""
    word = fold(normalise(name).text)
    return entries.setdefault(word, _Entry()) if word else None


def _apart(hits: Iterable[Hit]) -> Iterator[Hit]:
    """Hits that do not overlap: of those that do, the first, and of these the longest."""
    last = Hit(-1, 0, 0)
    for hit in sorted(hits, key=lambda hit: (hit.field, hit.start, -hit.end)):
        if hit.field != last.field or hit.start >= last.end:
            yield hit
            last = hit


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

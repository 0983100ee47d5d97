"""Marks in foreign text: cut at the offsets, escape each piece, then wrap it. Nothing is marked after escaping."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from markupsafe import Markup, escape

from gateway.queries.reading import DocumentDetail
from gateway.queries.terms import Terms
from yuqing.text.normalise import fold


@dataclass(frozen=True)
class Mark:
    """Characters [start, end) that are a quote that proves a verdict (with an anchor to jump to), or a name."""

    start: int
    end: int
    kind: Literal["evidence", "mention"]
    label: str
    sentiment: str = ""
    anchor: str = ""
    company_id: int = 0


def anchor_of(company_id: int, number: int) -> str:
    """The id of a verdict's evidence, counted from 1."""
    return f"evidence-{company_id}-{number}"


def text_marks(document: DocumentDetail) -> tuple[Mark, ...]:
    """The marks of the text: mentions, and the evidence that stands in this version of it, word for word."""
    marks = [
        Mark(span.start, span.end, "mention", span.company, company_id=span.company_id)
        for span in document.mentions
        if span.field == "text"
    ]
    for verdict in document.verdicts:
        for number, quote in enumerate(verdict.evidence, 1):
            if document.text[quote.start : quote.end] == quote.quote and quote.quote:
                anchor = anchor_of(verdict.company_id, number)
                marks.append(
                    Mark(
                        quote.start,
                        quote.end,
                        "evidence",
                        verdict.company,
                        verdict.sentiment,
                        anchor,
                        verdict.company_id,
                    )
                )
    return tuple(marks)


def title_marks(document: DocumentDetail) -> tuple[Mark, ...]:
    """The marks of the document's title: mentions."""
    return tuple(
        Mark(span.start, span.end, "mention", span.company, company_id=span.company_id)
        for span in document.mentions
        if span.field == "title"
    )


def marked(text: str, marks: Iterable[Mark], start: int = 0, end: int | None = None) -> Markup:
    """Characters [start, end) of a text as safe HTML with its marks; overlapping marks are cut into pieces."""
    end = len(text) if end is None else min(end, len(text))
    within = [mark for mark in marks if mark.start < end and mark.end > start]
    borders = {start, end}
    for mark in within:
        borders |= {max(mark.start, start), min(mark.end, end)}
    places = sorted(borders)
    pieces = (
        _piece(text[low:high], low, [mark for mark in within if mark.start <= low and mark.end >= high])
        for low, high in pairwise(places)
    )
    return Markup("").join(pieces)


def _piece(text: str, start: int, marks: Sequence[Mark]) -> Markup:
    html = escape(text)
    names = [mark for mark in marks if mark.kind == "mention"]
    quotes = [mark for mark in marks if mark.kind == "evidence"]
    if names:
        label = "、".join(dict.fromkeys(mark.label for mark in names))
        html = Markup('<span class="mention" data-of="{}" title="{}">{}</span>').format(_of(names), label, html)
    if quotes:
        sentiments = {mark.sentiment for mark in quotes}
        kind = sentiments.pop() if len(sentiments) == 1 else "mixed"
        label = "、".join(dict.fromkeys(mark.label for mark in quotes))
        anchors = " ".join(mark.anchor for mark in quotes)
        html = Markup('<mark class="evidence is-{}" data-evidence="{}" data-of="{}" title="{}">{}</mark>').format(
            kind, anchors, _of(quotes), label, html
        )
        for mark in quotes:
            if mark.start == start:
                html = Markup('<span class="anchor" id="{}"></span>').format(mark.anchor) + html
    return html


def _of(marks: Sequence[Mark]) -> str:
    """The companies of the marks, as the page's script looks for them."""
    return " ".join(dict.fromkeys(str(mark.company_id) for mark in marks))


def paragraphs(text: str, marks: Sequence[Mark]) -> Iterator[Markup]:
    """The text's lines that are not empty, each as safe HTML with its marks."""
    start = 0
    for line in text.split("\n"):
        if line.strip():
            yield marked(text, marks, start, start + len(line))
        start += len(line) + 1


def hits(text: str, terms: Terms | None) -> Markup:
    """A title or snippet as safe HTML with the words of a search marked."""
    if terms is None:
        return escape(text)
    folded = fold(text)
    found: set[int] = set()
    for word in terms.words:
        place = folded.find(word)
        while place >= 0:
            found.update(range(place, place + len(word)))
            place = folded.find(word, place + 1)
    pieces: list[Markup] = []
    start = 0
    for index in range(1, len(text) + 1):
        if index == len(text) or (index in found) != (start in found):
            html = escape(text[start:index])
            pieces.append(Markup('<mark class="hit">{}</mark>').format(html) if start in found else html)
            start = index
    return Markup("").join(pieces)

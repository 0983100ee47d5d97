"""Proof: sentence numbers become quotes that are copied from the text, so that none can be invented."""

from collections.abc import Sequence

from yuqing.contracts import Evidence, TimedSpan
from yuqing.text.sentences import Span


def second_of(start: int, segments: Sequence[TimedSpan]) -> float | None:
    """The second at which the character `start` of a transcript was said; None for a text that nobody spoke."""
    before = [segment for segment in segments if segment.start <= start]
    return max(before, key=lambda segment: segment.start).start_s if before else None


def quote(text: str, span: Span, segments: Sequence[TimedSpan] = ()) -> Evidence:
    """The evidence of one span of the text."""
    start, end = span
    return Evidence(quote=text[start:end], start=start, end=end, start_s=second_of(start, segments))


def locate(
    numbers: Sequence[int], sentences: Sequence[Span], text: str, segments: Sequence[TimedSpan] = ()
) -> tuple[tuple[Evidence, ...], bool]:
    """Quotes of the sentences so numbered (from 1), in text order, and whether the verdict is grounded.

    A number twice counts once; one that does not exist is left out and makes the verdict ungrounded, as does no number.
    """
    wanted = sorted(set(numbers))
    real = [number for number in wanted if 1 <= number <= len(sentences)]
    quotes = tuple(quote(text, sentences[number - 1], segments) for number in real)
    return quotes, bool(quotes) and len(real) == len(wanted)

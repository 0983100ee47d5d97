"""Chinese sentence splitting with offsets, so that a sentence can be quoted and found again."""

import re

Span = tuple[int, int]

# A sentence ends after its closing punctuation and the quotes or brackets that close with it, or at a line's end.
# A full stop of western text ends one only before a space or the end (3.5, v2.0 and yuqing.com stay whole).
_END = re.compile(r"(?:[。！？!?…]+|\.(?=\s|$))[”’」』）)】》\"']*|[\r\n\u2028\u2029]+")
# Where a sentence that is too long may be cut: after a clause's punctuation.
_CLAUSE = re.compile(r"[，,、；;：:—\s]")


def _trimmed(text: str, start: int, end: int) -> Span | None:
    """The span without the white space at its ends; None when nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def sentence_spans(text: str) -> list[Span]:
    """Spans [start, end) of the sentences in order. They do not overlap, and together hold every non-space character."""
    spans: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        span = _trimmed(text, start, match.end())
        start = match.end()
        if span is None:
            continue
        # Closing punctuation that stands alone ("……" on its own line) belongs to the sentence before it.
        if spans and not any(character.isalnum() for character in text[span[0] : span[1]]):
            spans[-1] = (spans[-1][0], span[1])
        else:
            spans.append(span)
    last = _trimmed(text, start, len(text))
    if last is not None:
        spans.append(last)
    return spans


def clause_spans(text: str, limit: int) -> list[Span]:
    """Sentence spans, those longer than `limit` characters cut after a clause's punctuation (else at the limit).

    Covers the same characters as sentence_spans, white space at the cuts apart. Raises ValueError when limit < 1.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    spans: list[Span] = []
    for start, end in sentence_spans(text):
        while end - start > limit:
            cuts = [match.end() for match in _CLAUSE.finditer(text, start + limit // 2, start + limit)]
            cut = cuts[-1] if cuts else start + limit
            piece = _trimmed(text, start, cut)
            if piece is not None:
                spans.append(piece)
            start = cut
        rest = _trimmed(text, start, end)
        if rest is not None:
            spans.append(rest)
    return spans

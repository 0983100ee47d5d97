"""What one text has that another has not: sentence by sentence, and within a changed sentence character by character."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from yuqing.text.sentences import clause_spans

Kind = Literal["same", "removed", "added"]

# Longer texts are compared up to here; that takes some tens of milliseconds.
COMPARED_CHARACTERS = 20_000
# SequenceMatcher takes cubic time at worst, so what it is given is bounded: a table without punctuation is cut like a long
# sentence; more sentences than this, or such as are equal in more pairs (200 on each side), are taken in their order ...
SENTENCE_LIMIT = 200
SENTENCES = 2_000
EQUAL_PAIRS = 40_000
# ... and of so many pairs of characters (a dozen of the longest sentences, 300 usual ones) the letters are compared; the rest
# is told whole. The worst texts take about a second.
LETTER_PAIRS = 500_000
# A pair of sentences less alike than this is told as one taken away and one put in: shorter to read than its letters.
ALIKE = 0.5


@dataclass(frozen=True)
class Piece:
    """Some characters, of both texts or of one of them."""

    kind: Kind
    text: str


def _sentences(text: str) -> list[str]:
    """The text cut behind each sentence; nothing is lost."""
    text = text[:COMPARED_CHARACTERS]
    ends = [span[1] for span in clause_spans(text, SENTENCE_LIMIT)]
    borders = sorted({0, len(text), *ends})
    return [text[start:end] for start, end in itertools.pairwise(borders)]


def compare(before: str, after: str) -> list[Piece]:
    """The pieces in the order of reading; those that are not `added` make up `before`, those not `removed` `after`."""
    old, new = _sentences(before), _sentences(after)
    pieces: list[Piece] = []
    left = LETTER_PAIRS
    for before, after in _paired(old, new):
        if before == after:
            pieces.append(Piece("same", before))
            continue
        left -= len(before) * len(after)
        if left >= 0 and before and after:
            pieces += _letters(before, after)
        else:
            pieces += [Piece("removed", before), Piece("added", after)]
    return list(_joined(pieces))


def _paired(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Equal sentences together; those that differ in pairs as far as both have some, then with an empty one."""
    counts = Counter(new)
    pairs = sum(counts[sentence] for sentence in old)
    if pairs > EQUAL_PAIRS or max(len(old), len(new)) > SENTENCES:
        yield from itertools.zip_longest(old, new, fillvalue="")
        return
    for _, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield from itertools.zip_longest(old[a:b], new[c:d], fillvalue="")


def _letters(before: str, after: str) -> list[Piece]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < ALIKE:
        return [Piece("removed", before), Piece("added", after)]
    pieces = []
    for action, a, b, c, d in matcher.get_opcodes():
        if action == "equal":
            pieces.append(Piece("same", before[a:b]))
        else:
            pieces += [Piece("removed", before[a:b]), Piece("added", after[c:d])]
    return pieces


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Without empty pieces; neighbours of a kind become one."""
    kind: Kind | None = None
    text = ""
    for piece in pieces:
        if not piece.text:
            continue
        if piece.kind != kind and kind is not None:
            yield Piece(kind, text)
            text = ""
        kind, text = piece.kind, text + piece.text
    if kind is not None and text:
        yield Piece(kind, text)

"""What one text has that another has not: sentence by sentence, and within a changed sentence character by character."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from yuqing.text.sentences import sentence_spans

Kind = Literal["same", "removed", "added"]

# Longer texts are compared up to here; that takes some tens of milliseconds.
COMPARED_CHARACTERS = 20_000
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
    ends = [span[1] for span in sentence_spans(text)]
    borders = sorted({0, len(text), *ends})
    return [text[start:end] for start, end in itertools.pairwise(borders)]


def compare(before: str, after: str) -> list[Piece]:
    """The pieces in the order of reading; those that are not `added` make up `before`, those not `removed` `after`."""
    old, new = _sentences(before), _sentences(after)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    pieces: list[Piece] = []
    for action, a, b, c, d in matcher.get_opcodes():
        if action == "equal":
            pieces.append(Piece("same", "".join(old[a:b])))
        else:
            pieces += _changed(old[a:b], new[c:d])
    return list(_joined(pieces))


def _changed(old: Sequence[str], new: Sequence[str]) -> list[Piece]:
    """Sentences that differ, in pairs as far as both have some."""
    pieces: list[Piece] = []
    for number in range(max(len(old), len(new))):
        before = old[number] if number < len(old) else ""
        after = new[number] if number < len(new) else ""
        pieces += _letters(before, after)
    return pieces


def _letters(before: str, after: str) -> list[Piece]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if not before or not after or matcher.ratio() < ALIKE:
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

"""What a reprint (转载) changed in the text that it carries: how much of it was cut, how much was added."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from yuqing.text.sentences import sentence_spans

_SHINGLE = 3  # characters, as in the signatures that find reprints
# A sentence is the same one when so many of its 3-grams stand in the other text: with every tenth character replaced .73 (0.9³) do,
# of a sentence on the same subject in other words a fifth.
_SAME_SENTENCE = 0.5
_NOT_COMPARED = re.compile(r"[\W_]+")  # punctuation and spaces differ between sites' editors


@dataclass(frozen=True)
class Changes:
    """A reprint beside its group's first document.

    `kept` is the share of the first text's characters whose sentences stand in the reprint, `added` the share of the reprint's
    characters whose sentences do not stand in the first text, both in [0, 1]. `edited`: the sentences that were kept are
    not the same to the letter, or in another order. `title`: the title is another one, punctuation and spaces aside.
    """

    title: bool
    kept: float
    added: float
    edited: bool


class Original:
    """A group's first document, prepared to be compared with its reprints: about a millisecond each."""

    def __init__(self, title: str, text: str) -> None:
        self._title = _comparable(title)
        self._text = _Text(text)

    def changes(self, title: str, text: str) -> Changes:
        """What a reprint changed. The same for the same texts, whatever else is in the group."""
        reprint = _Text(text)
        kept = [sentence for sentence in self._text.sentences if reprint.has(sentence)]
        shared = [sentence for sentence in reprint.sentences if self._text.has(sentence)]
        return Changes(
            title=_comparable(title) != self._title,
            kept=_characters(kept) / max(1, _characters(self._text.sentences)),
            added=1 - _characters(shared) / max(1, _characters(reprint.sentences)),
            edited=kept != shared,
        )


class _Text:
    """A text's sentences without their punctuation; those without a letter or figure are none."""

    def __init__(self, text: str) -> None:
        found = (_comparable(text[start:end]) for start, end in sentence_spans(text))
        self.sentences = [sentence for sentence in found if sentence]
        self._exact = frozenset(self.sentences)

    @cached_property
    def _shingles(self) -> frozenset[str]:
        return frozenset(gram for sentence in self.sentences for gram in _grams(sentence))

    def has(self, sentence: str) -> bool:
        """Whether the sentence stands here, as it is or edited."""
        if sentence in self._exact:
            return True
        grams = _grams(sentence)
        return sum(gram in self._shingles for gram in grams) >= _SAME_SENTENCE * len(grams)


def _comparable(text: str) -> str:
    return _NOT_COMPARED.sub("", text).lower()


def _grams(sentence: str) -> list[str]:
    return [sentence[at : at + _SHINGLE] for at in range(max(1, len(sentence) - _SHINGLE + 1))]


def _characters(sentences: Sequence[str]) -> int:
    return sum(map(len, sentences))

"""Names of the watchlist that were heard as other characters of nearly the same sound: 轻合乳液 for 青禾乳业.

A speech model writes a name that it does not know as words that it knows. How they sound is kept, so the names are looked for
by their Pinyin without tones. What the model was sure of, and what is a watched name already, is left alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from pypinyin import Style, pinyin
from pypinyin.contrib.tone_convert import to_finals, to_initials

from yuqing.contracts import Segment, Word
from yuqing.text.normalise import to_simplified

# Pairs that speakers and microphones mix up, by how far apart they count. The first are merged in many regions' Mandarin,
# the second differ in one feature (aspiration, nasal ending).
_MERGED = 0.25
_NEAR = 0.5
_INITIALS = {
    _MERGED: ("z zh", "c ch", "s sh", "l n", "f h", "l r"),
    _NEAR: (
        "b p",
        "d t",
        "g k",
        "j q",
        "z c",
        "zh ch",
        "p t",
        "b d",
        "q x",
        "ch sh",
        "c s",
        "w y",
        "m n",
        "g h",
        "k h",
    ),
}
_FINALS = {
    _MERGED: ("an ang", "en eng", "in ing", "ian iang", "uan uang"),
    _NEAR: (
        "a an",
        "ai an",
        "ao ou",
        "e en",
        "i in",
        "ai a",
        "ao a",
        "o uo",
        "u ou",
        "ie ian",
        "e ei",
        "un uan",
        "ong eng",
        "i ing",
        "ui ei",
    ),
}
# How far apart a name's characters may be, each, and in all by the name's length: the longer it is, the less likely it is that
# something else sounds like it. Chosen on the speech set (examples/speech).
_ONE_APART = 0.3
_MOST_APART = {2: 0.25, 3: 0.4, 4: 0.5}
# Mean probability of the characters that would change from which on they are taken for what was said. Two characters sound like
# some other word too often; four hardly ever.
_SURE = {2: 0.5, 3: 0.85, 4: 0.98}
_LONG = 4


def _is_ideograph(character: str) -> bool:
    return "\u3400" <= character <= "\u4dbf" or "\u4e00" <= character <= "\u9fff"


@cache
def _readings(character: str) -> frozenset[tuple[str, str]]:
    """Initial and final of each reading of a character."""
    found = pinyin(character, style=Style.NORMAL, heteronym=True)[0]
    return frozenset((to_initials(one, strict=False), to_finals(one, strict=False)) for one in found)


def _part_distance(one: str, other: str, pairs: dict[float, tuple[str, ...]]) -> float:
    if one == other:
        return 0.0
    for distance, alike in pairs.items():
        if f"{one} {other}" in alike or f"{other} {one}" in alike:
            return distance
    return 1.0


@lru_cache(maxsize=2**17)
def distance(one: str, other: str) -> float:
    """How unlike two characters sound, tones aside: 0 (the same) to 1; of several readings the nearest."""
    if one == other:
        return 0.0
    return min(
        (_part_distance(a, c, _INITIALS) + _part_distance(b, d, _FINALS)) / 2
        for a, b in _readings(one)
        for c, d in _readings(other)
    )


@dataclass(frozen=True)
class _Found:
    distance: float
    start: int
    name: str


class Names:
    """A watchlist's names of two ideographs or more, ready to be listened for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(dict.fromkeys(to_simplified(name) for name in names if len(name) > 1))
        self._by_sound: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
        for name in self.names:
            if all(map(_is_ideograph, name)):
                for place, character in enumerate(name):
                    for reading in _readings(character):
                        self._by_sound[reading].add((name, place))

    def correct(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """A transcript's segments with names in place of what sounds like them; their words stay as they were heard.

        A model believes what it has written once: it doubts a strange word at its first turn and is sure of it from then on. So the
        least sure turn of the same characters speaks for all of them, but for two characters, which are often a common word that
        was mumbled once.
        """
        found = [self._candidates(segment.text) for segment in segments]
        doubt: dict[tuple[str, str], float] = {}
        for segment, candidates in zip(segments, found, strict=True):
            sure = _probabilities(segment.text, segment.words)
            for each in candidates:
                heard = segment.text[each.start : each.start + len(each.name)]
                probability = _of_changes(heard, each, sure)
                doubt[heard, each.name] = min(probability, doubt.get((heard, each.name), 1.0))
        return tuple(self._with_names(*each, doubt) for each in zip(segments, found, strict=True))

    def _with_names(self, segment: Segment, found: set[_Found], doubt: Mapping[tuple[str, str], float]) -> Segment:
        text = segment.text
        sure = _probabilities(text, segment.words)
        taken = self._said(text)
        for each in sorted(found, key=lambda one: (one.distance, -len(one.name), one.start, one.name)):
            end = each.start + len(each.name)
            if not taken.isdisjoint(places := range(each.start, end)):
                continue
            heard = text[each.start : end]
            probability = _of_changes(heard, each, sure) if len(heard) == 2 else doubt[heard, each.name]
            if probability < _SURE[min(len(each.name), _LONG)]:
                taken.update(places)
                text = text[: each.start] + each.name + text[end:]
        return segment if text == segment.text else segment.model_copy(update={"text": text})

    def _said(self, text: str) -> set[int]:
        """Places of characters that are part of a watched name as it is written."""
        taken: set[int] = set()
        for name in self.names:
            start = text.find(name)
            while start >= 0:
                taken.update(range(start, start + len(name)))
                start = text.find(name, start + 1)
        return taken

    def _candidates(self, text: str) -> set[_Found]:
        """Places that sound like a name; one of the characters at least does so exactly."""
        places = {
            (name, index - place)
            for index, character in enumerate(text)
            if _is_ideograph(character)
            for reading in _readings(character)
            for name, place in self._by_sound.get(reading, ())
            if 0 <= index - place <= len(text) - len(name)
        }
        found = set()
        for name, start in places:
            heard = text[start : start + len(name)]
            if all(map(_is_ideograph, heard)):
                apart = [distance(one, other) for one, other in zip(heard, name, strict=True)]
                if max(apart) <= _ONE_APART and sum(apart) <= _MOST_APART[min(len(name), _LONG)]:
                    found.add(_Found(sum(apart), start, name))
        return found


def _of_changes(heard: str, found: _Found, sure: Sequence[float] | None) -> float:
    """Mean probability of the characters that the name would change; where words do not tell, long names alone are doubted."""
    if sure is None:
        return 0.0 if len(found.name) >= _LONG else 1.0
    changed = [sure[found.start + place] for place, mark in enumerate(found.name) if heard[place] != mark]
    return sum(changed) / len(changed) if changed else 1.0


def _probabilities(text: str, words: Sequence[Word]) -> list[float] | None:
    """The model's probability of each character of the text, that of the word it is in; None where text and words part."""
    heard = [(character, word.probability) for word in words for character in word.text if _is_ideograph(character)]
    if [character for character, _ in heard] != [character for character in text if _is_ideograph(character)]:
        return None
    left = iter(heard)
    return [next(left)[1] if _is_ideograph(character) else 1.0 for character in text]

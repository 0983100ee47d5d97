"""One spelling for every text: NFKC, simplified characters, plain spaces; with a map back to the original.

Everything that compares, searches or matches Chinese text works on the normalised form; evidence is shown in the
original, so each normalised character knows where it came from.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# NFKC would turn these into ASCII or into several dots; in Chinese they are the proper punctuation and stay.
KEPT_PUNCTUATION = "，。！？：；（）、～…—·“”‘’《》〈〉「」『』【】〔〕"

# NFKC turns one character into at most 18 (U+FDFA, an Arabic ligature): the bound on growth.
MAXIMUM_GROWTH = 18

# Share of a text's CJK characters that exist only in traditional script, from which the whole text counts as
# traditional. Real traditional prose has 25-40 %; a simplified text that cites one traditional name stays far below.
TRADITIONAL_SHARE = 0.05

_CJK = "\u3400-\u4dbf\u4e00-\u9fff"
# Runs that NFKC leaves alone when no combining mark follows: printable ASCII and newlines, ideographs and the kept
# punctuation.
_INERT = re.compile(f"[\n -~{_CJK}{re.escape(KEPT_PUNCTUATION)}]+")
# The same without newlines, and the ideographic space: nothing to hide or to mend.
_SHOWN = re.compile(f"[ -~\u3000{_CJK}{re.escape(KEPT_PUNCTUATION)}]+")
_LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_SIMPLIFIED_CHARSET = "gb2312"


@dataclass(frozen=True)
class Normalised:
    """A normalised text and, for each of its characters, the index of the original character that it came from.

    `offsets` has one entry more than the text: the last one is the end of the original without trailing space.
    """

    text: str
    offsets: tuple[int, ...]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The half-open span of the original that [start, end) of the normalised text was made from."""
        if start >= end:
            return self.offsets[start], self.offsets[start]
        # The end is where the next different original character begins: an expanded or composed character is taken
        # whole.
        while end < len(self.text) and self.offsets[end] == self.offsets[end - 1]:
            end += 1
        return self.offsets[start], self.offsets[end]


@dataclass(frozen=True)
class _Script:
    """OpenCC's traditional-to-simplified tables."""

    only_traditional: dict[str, str]  # characters that simplified text never uses
    ambiguous: dict[str, str]  # legitimate in both scripts (乾隆, 瞭望): converted in traditional text only
    phrases: dict[str, str]
    phrase_starts: dict[str, tuple[int, ...]]  # first character -> lengths of the phrases, longest first
    pattern: re.Pattern[str]


def _read_dictionary(path: Path) -> dict[str, str]:
    pairs = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line)
    return {key: values.split(" ")[0] for key, values in pairs}


def _in_gb2312(character: str) -> bool:
    try:
        character.encode(_SIMPLIFIED_CHARSET)
    except UnicodeEncodeError:
        return False
    return True


@lru_cache(maxsize=1)
def _script() -> _Script:
    """Read OpenCC's dictionaries. The library's own converter gives no offsets and is slower than this use of them."""
    spec = find_spec("opencc")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "dictionary"
    characters = {k: v for k, v in _read_dictionary(folder / "TSCharacters.txt").items() if k != v}
    only = {k: v for k, v in characters.items() if not _in_gb2312(k)}
    for key, value in only.items():  # 薴 -> 苧 -> 苎: follow to the end, so that a second pass changes nothing
        while value in only:
            value = only[value]
        only[key] = value
    phrases = {
        k: v
        for k, v in _read_dictionary(folder / "TSPhrases.txt").items()
        if len(k) == len(v) and not any(character in only for character in v)
    }
    starts: dict[str, set[int]] = {}
    for phrase in phrases:
        starts.setdefault(phrase[0], set()).add(len(phrase))
    return _Script(
        only_traditional=only,
        ambiguous={k: v for k, v in characters.items() if k not in only},
        phrases=phrases,
        phrase_starts={k: tuple(sorted(v, reverse=True)) for k, v in starts.items()},
        pattern=re.compile("[" + "".join(map(re.escape, only)) + "]"),
    )


def to_simplified(text: str) -> str:
    """Traditional characters to simplified ones, one for one: the length never changes.

    In a text that is traditional as a whole (TRADITIONAL_SHARE) OpenCC's phrases decide ambiguous characters (乾隆
    stays, 乾燥 becomes 干燥); elsewhere only characters that simplified script does not have are converted.
    """
    script = _script()
    if script.only_traditional.keys().isdisjoint(text):  # ten times as fast as the search
        return text
    found = script.pattern.findall(text)
    ideographs = sum("\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" for character in text)
    if len(found) < TRADITIONAL_SHARE * ideographs:
        return script.pattern.sub(lambda match: script.only_traditional[match[0]], text)
    pieces: list[str] = []
    index = 0
    while index < len(text):
        character = text[index]
        for length in script.phrase_starts.get(character, ()):
            phrase = text[index : index + length]
            if phrase in script.phrases:
                pieces.append(script.phrases[phrase])
                index += length
                break
        else:
            pieces.append(script.only_traditional.get(character) or script.ambiguous.get(character, character))
            index += 1
    return "".join(pieces)


def _is_emoji(character: str) -> bool:
    return "\U0001f000" <= character <= "\U0001faff" or "\u2190" <= character <= "\u2bff" or character == _EMOJI_STYLE


def _visible(text: str) -> tuple[str, list[int]]:
    """Without zero-width, control, private-use and surrogate characters, but with the joiners between emoji."""
    kept: list[str] = []
    offsets: list[int] = []
    index = 0
    while index < len(text):
        if run := _SHOWN.match(text, index):
            kept.append(run[0])
            offsets.extend(range(index, run.end()))
            index = run.end()
            continue
        if character := _shown(text, index, kept):
            kept.append(character)
            offsets.append(index)
        index += 1
    return "".join(kept), offsets


def _shown(text: str, index: int, before: list[str]) -> str:
    """What is seen of a text's character after the pieces before it; empty when it is nothing."""
    character = text[index]
    if character in _LINE_BREAKS:
        return "" if character == "\n" and index and text[index - 1] == "\r" else "\n"
    if character == "\t":
        return " "
    if character < " " or character == "\x7f":
        return ""
    if character > "~" and (character == _EMOJI_STYLE or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")):
        joins = character in (_JOINER, _EMOJI_STYLE) and before and _is_emoji(before[-1][-1])
        return character if joins else ""
    return character


def _compose(text: str, offsets: list[int]) -> tuple[str, list[int]]:
    """NFKC, cluster by cluster (a character with the marks that act on it), so that every result knows its source."""
    pieces: list[str] = []
    sources: list[int] = []
    index = 0

    def emit(piece: str, source: int) -> None:
        pieces.append(piece)
        sources.extend([source] * len(piece))

    while index < len(text):
        if match := _INERT.match(text, index):
            end = match.end()
            if end < len(text) and unicodedata.combining(text[end]):
                end -= 1  # the mark may compose with the run's last character
            if end > index:
                pieces.append(text[index:end])
                sources.extend(offsets[index:end])
                index = end
                continue
        if text[index] in KEPT_PUNCTUATION:
            emit(text[index], offsets[index])
            index += 1
            continue
        end = index + 1
        cluster = unicodedata.normalize("NFKC", text[index])
        while end < len(text) and text[end] not in KEPT_PUNCTUATION:
            joined = unicodedata.normalize("NFKC", text[index : end + 1])
            alone = unicodedata.normalize("NFKC", text[end])
            if not unicodedata.combining(text[end]) and joined == cluster + alone:
                break
            cluster = joined
            end += 1
        emit(cluster, offsets[index])
        index = end
    return "".join(pieces), sources


_SPACES = re.compile(r"[^\S\n]*\n\s*|[^\S\n]+")


def _squeeze(text: str, offsets: list[int]) -> tuple[str, list[int]]:
    """One space for any run of spaces, one newline for any run of blank lines, none at the ends."""
    pieces: list[str] = []
    sources: list[int] = []
    position = 0
    for match in _SPACES.finditer(text):
        pieces.append(text[position : match.start()])
        sources.extend(offsets[position : match.start()])
        if match.start() > 0 and match.end() < len(text):
            pieces.append("\n" if "\n" in match[0] else " ")
            sources.append(offsets[match.start()])
        position = match.end()
    pieces.append(text[position:])
    sources.extend(offsets[position:])
    return "".join(pieces), sources


def normalise(text: str) -> Normalised:
    """Normalise a text, paragraphs one a line.

    Idempotent; at most MAXIMUM_GROWTH times as long; offsets never decrease.
    """
    visible, offsets = _visible(text)
    composed, offsets = _compose(visible, offsets)
    squeezed, offsets = _squeeze(composed, offsets)
    return Normalised(to_simplified(squeezed), (*offsets, len(text.rstrip())))


def fold(text: str) -> str:
    """Lower case, character by character, so that offsets hold (str.lower() lengthens a few characters)."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)

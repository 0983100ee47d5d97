"""Which texts are worth keeping: each filter gives the reason for which it drops one."""

import re
import tomllib
from collections import Counter
from functools import lru_cache
from pathlib import Path

from yuqing.settings import CleaningSettings

# Repetition says nothing about short texts: a list of ten prices repeats "元/" by nature.
_REPETITION_FROM = 200
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_FIGURE_AT_END = re.compile(r"\d[\d.,:：%％/+-]*\s*(?:元|万元|亿元|吨|公斤|斤|克|点|[a-zA-Z/元吨公斤千克]{0,8})[)）]?$")
_CHINESE_ENOUGH = 300  # an article, whatever scripts and code stand around it
_LIST_LINES, _LIST_LINE_LENGTH = 8, 40


def reason_to_drop(title: str, text: str, settings: CleaningSettings, link_share: float = 0.0) -> str | None:
    """Why a document cannot be used, or None. Title and text are normalised; `link_share` is that of the text's characters."""
    if not text:
        return "no main text was found"
    if len(title) + len(text) < settings.minimum_characters:
        return f"too short: {len(title) + len(text)} characters of at least {settings.minimum_characters}"
    letters = sum(map(str.isalpha, text))
    if letters < settings.minimum_letter_share * len(text):
        return f"mostly digits and signs: {letters} letters in {len(text)} characters"
    lost = text.count("\ufffd")
    if lost > settings.maximum_unreadable_share * len(text):
        return f"unreadable: {lost} replacement characters in {len(text)}"
    chinese = len(_IDEOGRAPHS.findall(title + text))
    if chinese < settings.minimum_chinese_share * letters and chinese < _CHINESE_ENOUGH:
        return f"not Chinese: {chinese} ideographs among {letters} letters"
    if link_share > settings.maximum_link_share:
        return f"a list of links: {link_share:.0%} of the text"
    if (share := figures_share(text)) > settings.maximum_figures_share:
        return f"a list of prices or numbers: {share:.0%} of its lines end in one"
    if len(text) >= _REPETITION_FROM and (share := repeated_share(text)) > settings.maximum_repeated_share:
        return f"repeats itself: {share:.0%} of the text are lines that occurred before"
    if found := spam(title, text, settings):
        return f"spam: {found}"
    return None


def repeated_share(text: str) -> float:
    """Share of a text's characters in lines or sentences that occurred before in it, in [0, 1]."""
    pieces = [piece for piece in re.split(r"[\n。！？!?]+", text) if piece.strip()]
    counts = Counter(pieces)
    total = sum(len(piece) for piece in pieces)
    return sum(len(piece) * (count - 1) for piece, count in counts.items()) / max(1, total)


def figures_share(text: str) -> float:
    """Share of a text's lines that are short and end in a figure with its unit, in [0, 1]; 0 below eight lines."""
    lines = text.split("\n")
    if len(lines) < _LIST_LINES:
        return 0.0
    return sum(len(line) <= _LIST_LINE_LENGTH and _FIGURE_AT_END.search(line) is not None for line in lines) / len(
        lines
    )


@lru_cache(maxsize=1)
def _spam_words() -> tuple[re.Pattern[str], dict[str, str]]:
    kinds: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("spam_words.toml").read_text(encoding="utf-8"))
    words = {word: kind for kind, listed in kinds.items() for word in listed}
    # The longest first: 送彩金 is not also 彩金.
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(pattern), words


def spam(title: str, text: str, settings: CleaningSettings) -> str | None:
    """The kind of advertisement that a text is stuffed with, and with what; None for anything else.

    Several different words of one kind are needed, and a density: a report on gamblers quotes an offer or two.
    """
    pattern, kinds = _spam_words()
    whole = f"{title}\n{text}"
    hits = Counter(pattern.findall(whole))
    for kind in dict.fromkeys(kinds[word] for word in hits):
        words = {word: count for word, count in hits.items() if kinds[word] == kind}
        characters = sum(len(word) * count for word, count in words.items())
        if len(words) >= settings.spam_words and characters >= settings.spam_share * len(whole):
            return f"{kind} ({', '.join(sorted(words)[:5])})"
    return None

"""Which texts are worth keeping: each filter gives the reason for which it drops one."""

import re
from collections import Counter

from yuqing.settings import CleaningSettings

# Repetition says nothing about short texts: a list of ten prices repeats "元/" by nature.
_REPETITION_FROM = 200


def reason_to_drop(title: str, text: str, settings: CleaningSettings) -> str | None:
    """Why a document cannot be used, or None. Title and text are normalised."""
    if not text:
        return "no main text was found"
    if len(title) + len(text) < settings.minimum_characters:
        return f"too short: {len(title) + len(text)} characters of at least {settings.minimum_characters}"
    letters = sum(character.isalpha() for character in text)
    if letters < settings.minimum_letter_share * len(text):
        return f"mostly digits and signs: {letters} letters in {len(text)} characters"
    lost = text.count("\ufffd")
    if lost > settings.maximum_unreadable_share * len(text):
        return f"unreadable: {lost} replacement characters in {len(text)}"
    if len(text) >= _REPETITION_FROM and (share := repeated_share(text)) > settings.maximum_repeated_share:
        return f"repeats itself: {share:.0%} of the text are lines that occurred before"
    return None


def repeated_share(text: str) -> float:
    """Share of a text's characters in lines or sentences that occurred before in it, in [0, 1]."""
    pieces = [piece for piece in re.split(r"[\n。！？!?]+", text) if piece.strip()]
    counts = Counter(pieces)
    total = sum(len(piece) for piece in pieces)
    return sum(len(piece) * (count - 1) for piece, count in counts.items()) / max(1, total)

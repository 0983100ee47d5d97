"""Character n-grams of title and text as numbers, and their TF-IDF weights, in numpy alone.

Inference must not wait for scikit-learn, whose analyser builds every n-gram as a Python string; a test compares the two.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]

# Bits of a code point, which ends at 0x10FFFF; three fit into a number with one bit to spare for the field.
_BITS = np.uint64(21)
_MOST = 3
_TITLE = np.uint64(1 << 63)
# As scikit-learn's character analyser does it.
_SPACES = re.compile(r"\s\s+")


@dataclass(frozen=True)
class Shape:
    """What is read of a document: n-grams up to so many characters of title and text, and the text's first characters."""

    title_grams: int = 3
    text_grams: int = 2
    text_characters: int = 2000


def ngrams(text: str, most: int) -> Keys:
    """All n-grams of 1 to `most` characters in lower case, one number each: 21 bits a character, the first one highest.

    Raises ValueError for more than three characters.
    """
    if not 1 <= most <= _MOST:
        raise ValueError(f"n-grams of 1 to {_MOST} characters fit into a number, not {most}")
    codes = np.frombuffer(_SPACES.sub(" ", text.lower()).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    # From 1 on: a NUL in front would make "\0a" and "a" one number.
    letters = codes.astype(np.uint64) + np.uint64(1)
    found, longer = [letters], letters
    for size in range(2, most + 1):
        longer = (longer[:-1] << _BITS) | letters[size - 1 :]
        found.append(longer)
    return np.concatenate(found)


def counted(title: str, text: str, shape: Shape) -> tuple[Keys, npt.NDArray[np.int64]]:
    """The document's distinct n-grams, ascending, those of the title with the highest bit set, and how often each occurs."""
    of_text, text_counts = np.unique(ngrams(text[: shape.text_characters], shape.text_grams), return_counts=True)
    of_title, title_counts = np.unique(ngrams(title, shape.title_grams), return_counts=True)
    return np.concatenate([of_text, of_title | _TITLE]), np.concatenate([text_counts, title_counts])


def positions(keys: Keys, vocabulary: Keys) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Where each key stands in the sorted vocabulary, and which are in it (the places of the others mean nothing)."""
    places = np.searchsorted(vocabulary, keys)
    places[places == len(vocabulary)] = 0
    return places, vocabulary[places] == keys


def title_start(vocabulary: Keys) -> int:
    """Where in the sorted vocabulary the title's n-grams begin."""
    return int(np.searchsorted(vocabulary, _TITLE))


def weigh(places: npt.NDArray[Any], counts: npt.NDArray[Any], idf: Floats, titles_from: int) -> npt.NDArray[np.float64]:
    """TF-IDF weights (1 + ln count) · idf of known n-grams; title and text have length 1 each, or 0 when they are empty.

    `places` are ascending positions in the vocabulary, in which the title's n-grams stand from `titles_from` on.
    """
    weights: npt.NDArray[np.float64] = (1 + np.log(counts)) * idf[places]
    cut = int(np.searchsorted(places, titles_from))
    for part in (weights[:cut], weights[cut:]):
        length = float(np.sqrt(part @ part))
        if length:
            part /= length
    return weights

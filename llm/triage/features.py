"""The terms of a document (character n-grams and words of its title and its text) and their TF-IDF weights.

Inference must not wait for scikit-learn, whose analyser builds every n-gram as a Python string; a test compares the two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

# Bits of a code point, which ends at 0x10FFFF; three fit into a number.
_BITS = np.uint64(21)
_MOST = 3
# As scikit-learn's character analyser does it.
_SPACES = re.compile(r"\s\s+")


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


def words(text: str) -> list[str]:
    """The words of a text in lower case, with its punctuation, as jieba's segmentation finds them."""
    import rjieba

    # A lone surrogate has no UTF-8, in which rjieba reads.
    found: list[str] = rjieba.cut(text.lower().encode("utf-8", "replace").decode("utf-8"))
    return found


class Vocabulary(Protocol):
    """The known terms of one kind, numbered from 0."""

    def __len__(self) -> int: ...

    def find(self, text: str) -> tuple[Places, Places]:
        """The numbers of the known terms that stand in the text, each once, and how often each does."""
        ...

    def array(self) -> npt.NDArray[Any]:
        """The terms in the order of their numbers, for a file."""
        ...


@dataclass(frozen=True)
class NGrams:
    """N-grams of 1 to `most` characters; `keys` ascend."""

    keys: Keys
    most: int

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, text: str) -> tuple[Places, Places]:
        """See Vocabulary."""
        found, counts = np.unique(ngrams(text, self.most), return_counts=True)
        places = np.searchsorted(self.keys, found)
        places[places == len(self.keys)] = 0
        known = self.keys[places] == found if len(self.keys) else np.zeros(len(found), dtype=bool)
        return places[known], counts[known]

    def array(self) -> npt.NDArray[Any]:
        """See Vocabulary."""
        return self.keys


@dataclass(frozen=True)
class Words:
    """Words, as `words` finds them."""

    terms: Sequence[str]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {term: number for number, term in enumerate(self.terms)})

    def __len__(self) -> int:
        return len(self.terms)

    def find(self, text: str) -> tuple[Places, Places]:
        """See Vocabulary."""
        found = [number for number in map(self._numbers.get, words(text)) if number is not None]
        return np.unique(np.array(found, dtype=np.int64), return_counts=True)

    def array(self) -> npt.NDArray[Any]:
        """See Vocabulary."""
        return np.array(self.terms, dtype=np.str_)


def tf_idf(counts: Places, idf: Floats) -> npt.NDArray[np.float64]:
    """scikit-learn's weights (1 + ln count) · idf, of length 1 together, or none."""
    weights: npt.NDArray[np.float64] = (1 + np.log(counts)) * idf
    length = float(np.sqrt(weights @ weights))
    return weights / length if length else weights

"""A reader's words -> conditions on documents: the index of bigrams, then a recheck where bigrams are not enough."""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, func, literal, or_
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import InstrumentedAttribute

from yuqing.text.bigrams import query_bigrams, tsquery
from yuqing.text.normalise import fold, normalise

MAXIMUM_QUERY = 200  # characters; longer ones are pasted texts, not searches

# Quotes and sentence punctuation around a pasted word are no part of it; C++ and 9.1% keep their ends.
AROUND_WORDS = "\"'`“”‘’《》〈〉「」『』【】()（）,，.。!！?？;；:：、"


@dataclass(frozen=True)
class Terms:
    """What is looked for: the index query (text of a tsquery), and the words as a reader sees them, in lower case."""

    tsquery: str
    words: tuple[str, ...]
    rechecked: tuple[str, ...]

    def as_tsquery(self) -> ColumnElement[object]:
        """The index query, bound."""
        return cast(literal(self.tsquery, String), TSQUERY)


def parse_terms(query: str) -> Terms | None:
    """The terms of a query; words apart by spaces must all occur. None when it holds no letter and no digit."""
    folded = fold(normalise(query).text)
    parts = (part.strip(AROUND_WORDS) for part in re.split(r"\s+", folded))
    words = tuple(dict.fromkeys(word for word in parts if query_bigrams(word)))
    if not words:
        return None
    return Terms(tsquery(" ".join(words)), words, tuple(word for word in words if not _is_exact(word)))


def _is_exact(word: str) -> bool:
    """Whether the index alone decides: the word is one lexeme. Three characters are two bigrams, maybe far apart."""
    return query_bigrams(word) == [word]


def matches(
    terms: Terms,
    search: InstrumentedAttribute[object],
    title: InstrumentedAttribute[str],
    text: InstrumentedAttribute[str],
) -> ColumnElement[bool]:
    """The condition that a document holds all terms; everything is bound, nothing is pasted into the SQL."""
    return and_(search.op("@@")(terms.as_tsquery()), *rechecks(terms, title, text))


def rechecks(
    terms: Terms, title: InstrumentedAttribute[str], text: InstrumentedAttribute[str]
) -> list[ColumnElement[bool]]:
    """A condition for each word of which the index knows the bigrams alone: it has to stand there as it is."""
    return [
        or_(
            _folded(title, word).contains(word, autoescape=True),
            _folded(text, word).contains(word, autoescape=True),
        )
        for word in terms.rechecked
    ]


def _folded(column: InstrumentedAttribute[str], word: str) -> ColumnElement[str] | InstrumentedAttribute[str]:
    """The column as the word is to be looked for in it; lower() of a long text costs more than all the rest."""
    return column if word.upper() == word else func.lower(column)


def times_in(column: InstrumentedAttribute[str], word: str) -> ColumnElement[Any]:
    """How often the word stands in the column."""
    folded = _folded(column, word)
    return (func.length(folded) - func.length(func.replace(folded, word, ""))) / len(word)


def snippet_start(terms: Terms, text: InstrumentedAttribute[str]) -> ColumnElement[int]:
    """Position (from 1) some characters before the first word in the text; 1 when it is in the title only."""
    return func.greatest(func.strpos(_folded(text, terms.words[0]), terms.words[0]) - 24, 1)

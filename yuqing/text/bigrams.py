"""Search terms of Chinese text: character bigrams, made here and handed to PostgreSQL as a ready array of lexemes.

PostgreSQL's own parser does not know Chinese words; bigrams find every phrase of two characters or more (recall 1.0).
"""

import re

from yuqing.text.normalise import fold, normalise

# Longer Latin "words" are addresses or encoded data; a lexeme may have at most 2,046 bytes in PostgreSQL.
MAXIMUM_WORD = 64

# Runs of scripts without word spaces (ideographs, kana, hangul, their extensions), or Latin/digit words.
_RUN = re.compile(
    "([\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
    "|([^\\W_\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
)


def bigrams(text: str) -> list[str]:
    """The distinct lexemes of a normalised text, in order of first appearance.

    A run of CJK characters gives its overlapping bigrams and its last character alone (so that a prefix search for one
    character finds every occurrence); a Latin or digit word gives itself in lower case. For array_to_tsvector().
    """
    terms: dict[str, None] = {}
    for match in _RUN.finditer(fold(text)):
        if run := match[1]:
            for index in range(len(run) - 1):
                terms[run[index : index + 2]] = None
            terms[run[-1]] = None
        else:
            terms[match[2][:MAXIMUM_WORD]] = None
    return list(terms)


def query_bigrams(query: str) -> list[str]:
    """The lexemes that a document must all have to contain the query; the query is normalised first.

    A single CJK character stands alone in the answer and has to be searched as a prefix: see tsquery().
    """
    terms: dict[str, None] = {}
    for match in _RUN.finditer(fold(normalise(query).text)):
        if run := match[1]:
            terms.update(dict.fromkeys([run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]))
        else:
            terms[match[2][:MAXIMUM_WORD]] = None
    return list(terms)


def tsquery(query: str) -> str:
    """A query as the text of a PostgreSQL tsquery ('茅台' & '5g' & '酒':*), for `%s::tsquery`; empty without terms.

    Terms are letters and digits only, so nothing in them needs escaping.
    """
    alone = re.compile(
        "[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
    )
    return " & ".join(f"'{term}':*" if alone.fullmatch(term) else f"'{term}'" for term in query_bigrams(query))

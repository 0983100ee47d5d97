"""Whose clause is it? A text cut into clauses, each with the companies that it is about.

Rules of reading, in this order: a clause that names companies is about them (about the last one when a verb of criticism
stands before that one's name: "甲批评乙" is about 乙); 前者 and 后者 are the first and the second of the last pair; a clause
without a name goes on with the one before it, across sentences only as far as REACH allows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm.analysis.prompts import Company
from yuqing.text.sentences import Span, sentence_spans

# Sentences without any name after the last one that still are about the same company.
REACH = 2
_CLAUSE_END = re.compile(r"[，,；;、]|——|(?<=[：:])|(?=而一?[^，]{0,3}之隔)")
# What somebody does to the company named after it: what follows is said of that one.
_AIMED = re.compile(
    r"批评|指责|质疑|炮轰|起诉|状告|投诉|举报|点名|控诉|痛批|声讨|吐槽|避雷|诉|骂|黑|曝光|揭露|处罚|约谈|通报|表扬|称赞|力挺|点赞|感谢"
)
_FORMER, _LATTER = re.compile(r"前者|第一家|先说"), re.compile(r"后者|第二家|另一家|那一家")
_QUESTION = re.compile(r"^(?:记者|问|主持人)[：:]")
# Names in a row, which share what is said: "甲、乙和丙".
_ROW = re.compile(r"^[“”\"《》（）()]*(?:[、，,和与及跟同]|以及)[“”\"《》（）()]*$")


@dataclass(frozen=True)
class Clause:
    """A span of the text and the companies (their places in the list) that it is about. `named`: it names them itself."""

    span: Span
    about: tuple[int, ...]
    named: bool


def _found(text: str, companies: Sequence[Company]) -> list[tuple[int, int, int]]:
    """(start, end, company) of every name in the text, in order; of names one inside another the longest."""
    hits = []
    for place, company in enumerate(companies):
        for name in {company.name, *company.aliases} - {""}:
            hits += [(match.start(), match.end(), place) for match in re.finditer(re.escape(name), text)]
    hits.sort(key=lambda hit: (hit[0], -hit[1]))
    kept: list[tuple[int, int, int]] = []
    for hit in hits:
        if not kept or hit[0] >= kept[-1][1]:
            kept.append(hit)
    return kept


def _pieces(text: str, start: int, end: int) -> list[Span]:
    """The clauses of the sentence [start, end)."""
    pieces, begin = [], start
    for match in _CLAUSE_END.finditer(text, start, end):
        if match.end() > begin:
            pieces.append((begin, match.end()))
            begin = match.end()
    if begin < end:
        pieces.append((begin, end))
    return pieces


def _subjects(text: str, span: Span, names: Sequence[tuple[int, int, int]]) -> tuple[int, ...]:
    """The companies that a clause with these names is about."""
    inside = [name for name in names if span[0] <= name[0] < span[1]]
    last = inside[-1]
    before = text[span[0] : last[0]]
    if len({name[2] for name in inside}) > 1 and not _AIMED.search(before):
        return tuple(dict.fromkeys(name[2] for name in inside))
    return (last[2],)


def _rows(text: str, names: Sequence[tuple[int, int, int]]) -> dict[int, tuple[int, ...]]:
    """For the last name of each row of names (by its start): the companies of the row."""
    rows: dict[int, tuple[int, ...]] = {}
    row: list[tuple[int, int, int]] = []
    for name in names:
        if row and not _ROW.match(text[row[-1][1] : name[0]]):
            row = []
        row.append(name)
        rows[name[0]] = tuple(dict.fromkeys(each[2] for each in row))
    return rows


def read_clauses(text: str, companies: Sequence[Company]) -> list[Clause]:
    """The clauses of the text that are about a company, in order."""
    names = _found(text, companies)
    rows = _rows(text, names)
    clauses: list[Clause] = []
    topic: tuple[int, ...] = ()
    pair: tuple[int, ...] = ()
    silent = 0
    for start, end in sentence_spans(text):
        in_sentence = [name for name in names if start <= name[0] < end]
        silent = 0 if in_sentence else silent + 1
        if silent > REACH or (_QUESTION.match(text[start:end]) and not in_sentence):
            topic = topic if _QUESTION.match(text[start:end]) else ()
            continue
        if in_sentence:
            # What stands before the first name of a sentence leads up to it.
            topic = _subjects(text, (start, in_sentence[0][1]), names)
        for span in _pieces(text, start, end):
            inside = [name for name in in_sentence if span[0] <= name[0] < span[1]]
            piece = text[slice(*span)]
            if inside:
                topic = rows[inside[-1][0]] if len(rows[inside[-1][0]]) > 1 else _subjects(text, span, names)
            elif len(pair) >= 2 and _FORMER.search(piece):
                topic = pair[:1]
            elif len(pair) >= 2 and _LATTER.search(piece):
                topic = pair[1:2]
            if topic:
                clauses.append(Clause(span, topic, bool(inside)))
        seen = tuple(dict.fromkeys(name[2] for name in in_sentence))
        if len(seen) >= 2:
            pair = seen[:2]
        elif len(seen) == 1 and seen[0] not in pair:
            pair = (*pair[-1:], seen[0])
    return clauses


def said_of(text: str, clauses: Sequence[Clause], place: int) -> str:
    """The company's own clauses, joined: what a reader would keep who cares for this company alone."""
    return "".join(text[slice(*clause.span)] for clause in clauses if place in clause.about).strip()

"""Signatures: similar texts meet, different ones do not, and equal texts always."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleaning.duplicates import (
    BANDS,
    Known,
    Neighbours,
    bands,
    best_earlier,
    from_bytes,
    shingles,
    signature,
    similarity,
    to_bytes,
)

CHARACTERS = (
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能"
    "对着事其里所去行过家十用发天如然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心"
    "前面又定见只主没公从"
)


def sentence(generator: random.Random, length: int) -> str:
    return "".join(generator.choice(CHARACTERS) for _ in range(length))


def edited(text: str, share: float, generator: random.Random) -> str:
    letters = list(text)
    for index in generator.sample(range(len(letters)), int(share * len(letters))):
        letters[index] = generator.choice(CHARACTERS)
    return "".join(letters)


def test_shingles_are_distinct_and_ignore_spaces() -> None:
    assert len(shingles("茅台股份茅台股份")) == 4
    assert list(shingles("茅台 股份")) == list(shingles("茅台\n股份"))
    assert len(shingles("茅")) == 1
    assert len(shingles("")) == 0


def test_an_empty_text_has_no_signature() -> None:
    with pytest.raises(ValueError, match="empty"):
        signature(" \n")


def test_the_signature_is_stable() -> None:
    # Stored signatures have to stay comparable: this changes only with a new version of all of them.
    assert to_bytes(signature("贵州茅台发布年度报告")).hex()[:32] == "bd8fcb2232d47d00c49c9204db9c3a39"


def test_the_estimate_is_near_the_true_similarity() -> None:
    generator = random.Random(1)
    for share in (0.02, 0.05, 0.1):
        one = sentence(generator, 800)
        other = edited(one, share, generator)
        first, second = set(shingles(one).tolist()), set(shingles(other).tolist())
        truth = len(first & second) / len(first | second)
        assert similarity(signature(one), signature(other)) == pytest.approx(truth, abs=4 * 0.044)


def test_reprints_share_a_band_and_strangers_do_not() -> None:
    generator = random.Random(2)
    texts = [sentence(generator, 600) for _ in range(50)]
    met = 0
    for text in texts:
        for reprint in (text[:360], "据新华社电 " + text + "（完）", edited(text, 0.06, generator)):
            met += bool(set(bands(signature(text))) & set(bands(signature(reprint))))
    assert met >= 149  # expected .9998 of the truncated ones, all of the others
    for one, other in pairwise(texts):
        assert similarity(signature(one), signature(other)) < 0.2


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_round_trip(text: str) -> None:
    minhash = signature(text)
    assert np.array_equal(from_bytes(to_bytes(minhash)), minhash)
    assert len(set(bands(minhash))) == BANDS
    assert all(-(2**63) <= key < 2**63 for key in bands(minhash))


def test_the_best_then_the_earliest_is_chosen() -> None:
    text = "一二三四五六七八九十" * 10
    near = signature(text + "甲乙丙丁")
    equal = signature(text)
    candidates = [Known("c", (3,), equal), Known("b", (2,), equal), Known("a", (1,), near)]
    found = best_earlier(equal, candidates, 0.4)
    assert found is not None
    assert (found[0].key, found[1]) == ("b", 1.0)
    assert best_earlier(signature("完全不同的另一篇文章"), candidates, 0.4) is None


def test_crowded_bands_keep_the_earliest() -> None:
    neighbours = Neighbours(cap=3)
    minhash = signature("同一段模板文字" * 5)
    for number in range(10):
        neighbours.add(Known(str(number), (number,), minhash), bands(minhash))
    assert [known.key for known in neighbours.candidates(bands(minhash))] == ["0", "1", "2"]

import hashlib
import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm import inews
from llm.analysis.scores import Label
from llm.triage.evaluate import measure
from llm.triage.features import Words, ngrams, words
from llm.triage.model import SHIPPED, WEIGHTS, TriageError, label_of, load, probabilities_of, save
from llm.triage.train import Config, fit, fit_scale, scaled, scikit_learn_logits, scikit_learn_pipelines
from yuqing.contracts import SENTIMENTS


def test_training_and_answering_equal_scikit_learns_own_pipeline(tmp_path: Path) -> None:
    """Tokenizing, weights, training, storing and loading: all against scikit-learn, on texts that it has not seen, too."""
    news = inews.load("dev")
    known, others = news[:240], news[240:340]
    pipelines = scikit_learn_pipelines(Config())
    for each in pipelines:
        each.fit([(item.title, item.text) for item in known], [SENTIMENTS.index(item.sentiment) for item in known])
    save(tmp_path / "first", fit(known))
    model = load(tmp_path / "first")
    odd = [("", ""), ("", "好"), ("Ａ  b\t\nC", "ẞİ 𠮷\ud800"), ("x", "\0a"), ("手机 召回", "  " * 600 + "召回")]
    pairs = [*((item.title, item.text) for item in [*known, *others]), *odd]
    expected = scikit_learn_logits(pipelines, Config(), pairs)
    found = np.array([model.logits(title, text) for title, text in pairs])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    save(tmp_path / "second", fit(known))
    assert (tmp_path / "first" / WEIGHTS).read_bytes() == (tmp_path / "second" / WEIGHTS).read_bytes()


def test_the_scale_fits_the_probabilities_and_changes_no_label() -> None:
    news = inews.load("dev")
    model, others = fit(news[:240]), news[240:340]
    scale = fit_scale(model, others)
    assert 0.05 < scale < 5
    after = scaled(model, scale)
    assert fit_scale(after, others) == pytest.approx(1, abs=0.01)
    for item in others:
        assert after.label(item.title, item.text).sentiment == model.label(item.title, item.text).sentiment


@given(st.text(alphabet=st.characters(), max_size=12), st.integers(1, 3))
def test_ngrams_differ_where_their_characters_do(text: str, most: int) -> None:
    lower = text.lower()
    if any(a.isspace() and b.isspace() for a, b in pairwise(lower)):
        return  # runs of white space become one space
    plain = [lower[i : i + size] for size in range(1, most + 1) for i in range(len(lower) - size + 1)]
    found = ngrams(text, most)
    assert len(found) == len(plain)
    assert len(set(found.tolist())) == len(set(plain))


@given(st.text(max_size=40), st.text(max_size=12))
def test_words_are_the_text_in_lower_case_cut_into_pieces_and_known_ones_are_counted(text: str, term: str) -> None:
    found = words(text)
    assert "".join(found) == text.lower().encode("utf-8", "replace").decode("utf-8")
    known = Words(sorted({term, *found[::2]}))
    places, counts = known.find(text)
    assert {known.terms[place]: count for place, count in zip(places, counts, strict=True)} == {
        word: found.count(word) for word in known.terms if word in found
    }


def test_the_shipped_model_is_what_its_card_says() -> None:
    model = load()
    assert (SHIPPED / WEIGHTS).stat().st_size == model.card["bytes"] < 10_000_000
    dev = inews.load("dev")
    predicted = [model.label(item.title, item.text).sentiment for item in dev]
    found = measure([item.sentiment for item in dev], predicted)
    assert [found.accuracy, found.macro_f1] == pytest.approx(
        [model.card["metrics"]["dev"]["accuracy"], model.card["metrics"]["dev"]["macro_f1"]], abs=0.002
    )
    assert model.name.startswith("triage-v2-")


def test_triage_keeps_its_floor_on_the_test_split() -> None:
    test = inews.load("test")
    model = load()
    predicted = [model.label(item.title, item.text).sentiment for item in test]
    found = measure([item.sentiment for item in test], predicted)
    assert found.accuracy >= 0.815
    assert found.macro_f1 >= 0.765
    low, high = found.accuracy_interval
    assert low < found.accuracy < high


@pytest.mark.parametrize("damage", ["weights", "pickle", "card", "missing"])
def test_a_damaged_model_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    card = json.loads((folder / "card.json").read_text())
    if damage == "weights":
        data = bytearray((folder / WEIGHTS).read_bytes())
        data[1000] ^= 1
        (folder / WEIGHTS).write_bytes(data)
    elif damage == "pickle":
        np.savez(folder / WEIGHTS, title_grams_terms=np.array([{}], dtype=object))
        card["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        (folder / "card.json").write_text(json.dumps(card))
    elif damage == "card":
        (folder / "card.json").write_text("{}")
    else:
        (folder / WEIGHTS).unlink()
    with pytest.raises(TriageError) as caught:
        load(folder)
    assert "train-triage" in caught.value.cure


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_a_labels_numbers_give_its_probabilities_back(shares: list[float]) -> None:
    probabilities = np.array(shares) / sum(shares)
    np.testing.assert_allclose(probabilities_of(label_of(probabilities)), probabilities, atol=2e-4)


def test_score_and_confidence_of_a_label() -> None:
    assert label_of(np.array([0.1, 0.2, 0.7])) == Label("negative", -0.6, 0.7)


def test_figures_of_a_confusion() -> None:
    found = measure(["positive", "neutral", "negative", "negative"], ["positive", "neutral", "negative", "neutral"])
    assert (found.accuracy, found.macro_f1) == (0.75, round((1 + 2 / 3 + 2 / 3) / 3, 4))
    with pytest.raises(ValueError, match="cannot be compared"):
        measure([], [])

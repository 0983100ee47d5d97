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
from pathlib import Path

from llm import inews
from llm.entity import evaluate as entities
from llm.entity.judge import own_clauses
from llm.evaluation.local import CHUNK, Reader
from llm.registry import of_the_settings
from llm.triage.answers import note, open_to_go_on, read_answers
from yuqing.settings import load_settings

DOCUMENTS = Path(__file__).parents[1] / "tests" / "data" / "entity_sentiment" / "documents.jsonl"


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
    settings = load_settings()
    adapter = of_the_settings(settings)
    note(given.answers, adapter.served_name if adapter else None, settings.llm.base, asking=settings)
    reader = Reader(settings, adapter, threads=1)
    until = time.monotonic() + given.seconds
    began = time.process_time()
    if given.what == "entities":
        done, left = _entities(given.answers, reader, until)
    else:
        done, left = _news(given.what, given.answers, reader, until)
    speed = round(done / max(1e-9, time.process_time() - began), 3)
    print(json.dumps({"answered": done, "left": left, "documents_per_cpu_s": speed}))

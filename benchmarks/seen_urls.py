"""The seen set against the old way, one JSON file of strings that is read into a Python set: the same URLs, the same run.

    python benchmarks/seen_urls.py [--urls N]

Prints one JSON line. Each way is measured in processes of its own. Ours is what a crawl calls: load() of a set that
`yuqing seen compact` has merged, from a real S3, and SeenUrls.wants() for each address.

urls, probes            addresses in the set; addresses asked for that are not in it
bytes_per_url_disk      ours on S3; old_: the JSON file
bytes_per_url_memory    growth of the resident memory by loading and by all look-ups, pages mapped from the cache included;
                        unmapped_: without the cache, everything read from S3 into arrays; old_: the set
load_s                  seconds until the set can be asked, its copy in the cache (median of 5); unmapped_: all from S3 (median
                        of 5); old_: from the local file
load_ratio              old_load_s / load_s; unmapped_load_ratio: old_load_s / unmapped_load_s
lookups_per_s           look-ups a second of the process's CPU time, half of them known, in random order; old_: `in` the set
false_positives         of the probes; expected: urls x probes / 2^64
compact_s               seconds to merge the set, once

The old way needs about 150 bytes of memory a URL: 50 million need 11 GB (of memory, and 3.5 GB of disk).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np

from crawler.canonical import canonicalise, url_hash
from crawler.seen import SeenUrls, load
from crawler.seen.cache import SegmentCache
from crawler.seen.compaction import compact
from crawler.seen.segments import imported_key
from yuqing import telemetry
from yuqing.embedded import services
from yuqing.embedded.supervisor import Supervisor
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.settings import get_settings, load_settings
from yuqing.sites import Site

SITE = Site(name="local", title="local", start_urls=("https://www.example.cn/",), articles=("https://",))
PROBES = 10_000_000
LOOKUPS = 1_000_000
LOADS = 5
_CHUNK = 2**14  # addresses; larger ones would count as memory of the set


def urls(count: int, year: int, step: int = 1) -> Iterator[str]:
    """Addresses as news sites have them, in canonical form, the same every time; every `step`th, a power of two."""
    numbers = np.random.default_rng(year)
    for start in range(0, count, _CHUNK):
        for number in numbers.integers(0, 2**60, min(_CHUNK, count - start))[::step].tolist():
            yield f"https://www.example.cn/finance/{year}-11-{number % 28 + 1:02d}/doc-{number:015x}.shtml"


def resident() -> int:
    """Bytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no VmRSS")


def old(count: int, path: Path) -> dict[str, float]:
    """Load the JSON file into a set and ask it."""
    before = resident()
    begin = perf_counter()
    with path.open() as file:
        seen = set(json.load(file))
    load_s = perf_counter() - begin
    memory = resident() - before
    asked = [*some(count, LOOKUPS // 2), *urls(LOOKUPS // 2, 2025)]
    random.Random(1).shuffle(asked)
    begin = process_time()
    found = sum(url in seen for url in asked)
    seconds = process_time() - begin
    if found < LOOKUPS // 2:
        raise SystemExit(f"the set holds {found} of {LOOKUPS // 2} addresses")
    return {"load_s": load_s, "memory": memory, "lookups_per_s": LOOKUPS / seconds}


def some(count: int, wanted: int) -> Iterator[str]:
    """Of the addresses in the set as many as are wanted, from everywhere in it; again from the beginning in a small one."""
    step = 1 << min((count // wanted or 1).bit_length() - 1, _CHUNK.bit_length() - 1)
    return islice(chain.from_iterable(urls(count, 2026, step) for _ in repeat(None)), wanted)


def ours(count: int, mapped: bool) -> dict[str, float]:
    """Load the set as a crawl does and ask it."""
    settings = get_settings()
    store = ObjectStore.from_settings(settings)
    store.ensure_bucket()
    cache = SegmentCache.from_settings(settings) if mapped else None
    known = array("Q", map(url_hash, some(count, LOOKUPS // 2)))
    unknown = array("Q", map(url_hash, urls(LOOKUPS // 2, 2025)))
    asked = [*known, *unknown]
    random.Random(1).shuffle(asked)
    list(store.list("seen/none/"))  # boto3 reads some hundred files of its own before the first listing of a process
    before, begin = resident(), perf_counter()
    seen = load(store, SITE, cache)
    times = [perf_counter() - begin]
    wanted, seconds = ask(seen, asked)
    false_positives = 0
    if mapped:
        false_positives = sum(url_hash(url) in seen for url in urls(PROBES, 2024))
    memory = resident() - before
    while len(times) < LOADS:
        begin = perf_counter()
        load(store, SITE, cache)
        times.append(perf_counter() - begin)
    if wanted != LOOKUPS // 2:
        raise SystemExit(f"{wanted} of {LOOKUPS} addresses are wanted, not {LOOKUPS // 2}")
    return {
        "load_s": median(times),
        "memory": memory,
        "lookups_per_s": LOOKUPS / seconds,
        "false_positives": false_positives,
    }


def ask(seen: SeenUrls, asked: list[int]) -> tuple[int, float]:
    """(how many are wanted, CPU seconds that the answers took)."""
    begin = process_time()
    wanted = sum(map(seen.wants, asked))
    return wanted, process_time() - begin


def child(environment: dict[str, str], *arguments: str) -> dict[str, float]:
    """What this file prints when it is called so."""
    command = [sys.executable, __file__, *arguments]
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with status {process.returncode}")
    figures: dict[str, float] = json.loads(process.stdout)
    return figures


def prepare(count: int, path: Path, store: ObjectStore) -> tuple[float, int]:
    """Write the addresses in both forms; (seconds to merge ours, bytes of ours)."""
    hashes = np.empty(count, dtype=np.uint64)
    addresses = urls(count, 2026)
    with path.open("w") as file:
        for start in range(0, count, _CHUNK):
            chunk = list(islice(addresses, _CHUNK))
            file.write((", " if start else "[") + json.dumps(chunk)[1:-1])
            hashes[start : start + len(chunk)] = np.fromiter(map(url_hash, chunk), dtype=np.uint64)
        file.write("]")
    if any(canonicalise(url) != url for url in some(count, 100)):
        raise SystemExit("the addresses are not in canonical form")
    store.ensure_bucket()
    hashes.sort()
    hashes.tofile(path.with_suffix(".u64"))
    del hashes
    store.put_file(imported_key(SITE.name, new_ulid()), path.with_suffix(".u64"))
    path.with_suffix(".u64").unlink()
    begin = perf_counter()
    compact(store, SITE, grace_hours=1)
    return perf_counter() - begin, sum(item.size for item in store.list(f"seen/{SITE.name}/"))


def compare(count: int, folder: Path) -> dict[str, float]:
    """All figures."""
    (folder / "state").mkdir()
    planned = services.plan(load_settings(data_dir=folder / "state"), ["s3"])
    supervisor = Supervisor(planned.services, folder / "logs", 20, None)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        s3 = {key: planned.addresses["s3"][key] for key in ("endpoint", "access_key", "secret_key")}
        environment = {
            **os.environ,
            "YUQING_DATA_DIR": str(folder / "state"),
            "YUQING_CACHE_DIR": str(folder / "cache"),
            **{f"YUQING_S3__{key.upper()}": value for key, value in s3.items()},
        }
        path = folder / "old.json"
        store = ObjectStore.from_settings(load_settings(data_dir=folder / "state", s3=s3))
        compact_s, size = prepare(count, path, store)
        the_old = child(environment, "--old", str(path), "--urls", str(count))
        old_size = path.stat().st_size
        path.unlink()
        load(store, SITE, SegmentCache.from_settings(load_settings(cache_dir=folder / "cache")))  # fills the cache
        unmapped = child(environment, "--unmapped", "--urls", str(count))
        mapped = child(environment, "--mapped", "--urls", str(count))
    finally:
        supervisor.stop()
    return {
        "urls": count,
        "bytes_per_url_disk": round(size / count, 2),
        "bytes_per_url_memory": round(mapped["memory"] / count, 2),
        "load_s": round(mapped["load_s"], 4),
        "load_ratio": round(the_old["load_s"] / mapped["load_s"], 1),
        "lookups_per_s": round(mapped["lookups_per_s"]),
        "false_positives": int(mapped["false_positives"]),
        "probes": PROBES,
        "expected_false_positives": float(f"{count * PROBES / 2**64:.1e}"),
        "unmapped_bytes_per_url_memory": round(unmapped["memory"] / count, 2),
        "unmapped_load_s": round(unmapped["load_s"], 4),
        "unmapped_load_ratio": round(the_old["load_s"] / unmapped["load_s"], 1),
        "unmapped_lookups_per_s": round(unmapped["lookups_per_s"]),
        "compact_s": round(compact_s, 2),
        "old_bytes_per_url_disk": round(old_size / count, 2),
        "old_bytes_per_url_memory": round(the_old["memory"] / count, 2),
        "old_load_s": round(the_old["load_s"], 3),
        "old_lookups_per_s": round(the_old["lookups_per_s"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--urls", type=int, default=5_000_000)
    parser.add_argument("--old", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mapped", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--unmapped", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    telemetry.configure(stage="benchmark")
    if options.old:
        figures = old(options.urls, options.old)
    elif options.mapped or options.unmapped:
        figures = ours(options.urls, options.mapped)
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = compare(options.urls, Path(folder))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

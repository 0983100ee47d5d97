"""How fast cleaning is, and how its cost grows: the whole Spark job beside the same steps in a plain loop.

    python benchmarks/clean.py [--documents 1000]

Starts its own SeaweedFS and PostgreSQL in a temporary folder, cleans a tenth of the documents and then, from empty tables, all of
them. Prints one JSON line. CPU seconds are those of all processes below this one, Java and the database's backends included;
growth_exponent is log10 of their ratio between the two runs, of the steps after Spark's start. ratio_to_loop: the loop's wall time
by the job's (the loop extracts, normalises, signs and matches in one process; no S3, no tables); small_* is a run of 200 documents
as it is after each crawl, without Spark. Signatures are compared with datasketch's on the same texts.
"""

import argparse
import gzip
import json
import math
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import text

from cleaning.duplicates import PERMUTATIONS, SHINGLE, signature
from cleaning.job import clean_pending
from cleaning.s3source import ARROW_SCHEMA
from cleaning.spark import spark_session
from cleaning.stage import clean_records
from yuqing.database.session import engine
from yuqing.embedded import services as embedded
from yuqing.embedded.supervisor import Supervisor
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

BATCH_DOCUMENTS = 200
REPRINT_SHARE = 0.3
SMALL = 200


def news(number: int) -> str:
    """About 800 characters of random simplified Chinese, a text of its own for each number."""
    generator = random.Random(number)

    def phrase() -> str:
        pairs = [(generator.randrange(0xB0, 0xD3), generator.randrange(0xA1, 0xFF)) for _ in range(12)]
        return b"".join(map(bytes, pairs)).decode("gb2312")

    return "".join(f"<p>　　{phrase()}，{phrase()}，{phrase()}，{phrase()}。</p>" for _ in range(16))


def record(number: int) -> dict[str, Any]:
    """A raw document; three in ten carry the text of another with a line added."""
    generator = random.Random(-number)
    reprint = number > 10 and generator.random() < REPRINT_SHARE
    body = news(generator.randrange(number)) + "<p>据新华社电。</p>" if reprint else news(number)
    links = "".join(f"<li><a href='/{n}'>栏目导航链接{n}</a></li>" for n in range(60))
    html = (
        f"<html><head><title>第{number}号新闻_每日网</title></head><body><ul class='nav'>{links}</ul><h1>第{number}号新闻</h1>"
        f"<p class='info'>2024年05月31日 15:20 来源：每日网</p><div class='article'>{body}</div>"
        f"<ul class='related'>{links}</ul><div class='footer'>版权所有</div></body></html>"
    )
    url = f"https://news.example.com/{number}.html"
    return {
        "url": url,
        "canonical_url": url,
        "site": "bench",
        "spider": "site",
        "kind": "page",
        "schema_version": 2,
        "fetched_at": f"2024-06-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "http_status": 200,
        "body": html,
        "run_id": "bench",
    }


def write(store: ObjectStore, documents: int) -> None:
    """All documents, in batches of BATCH_DOCUMENTS."""
    store.ensure_bucket()
    for start in range(0, documents, BATCH_DOCUMENTS):
        numbers = range(start, min(documents, start + BATCH_DOCUMENTS))
        data = "".join(json.dumps(record(number), ensure_ascii=False) + "\n" for number in numbers).encode()
        store.put(f"raw/bench/2024/06/01/{start:08}.jsonl.gz", gzip.compress(data, 1))


class Usage:
    """CPU seconds and peak memory of this process and of those below it, without the services."""

    def __init__(self, without: set[int]) -> None:
        self._without = without
        self._seconds: dict[int, float] = {}
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        me = psutil.Process()
        memory = 0
        for process in [me, *me.children(recursive=True)]:
            if process.pid in self._without:
                continue
            try:
                times = process.cpu_times()
                self._seconds[process.pid] = times.user + times.system
                memory += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.peak = max(self.peak, memory)

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self._sample()

    def cpu(self) -> float:
        """CPU seconds so far; a process that ended since its last sample is counted up to there."""
        self._sample()
        return sum(self._seconds.values())

    def stop(self) -> None:
        """End the sampling."""
        self._stop.set()
        self._thread.join()


def loop(settings: Settings, documents: int) -> tuple[float, float]:
    """(wall, CPU) seconds of the same steps in this process, one batch after another; making the records is not counted."""
    import pyarrow as pa

    wall = cpu = 0.0
    for start in range(0, documents, BATCH_DOCUMENTS):
        lines = [
            {
                "batch": f"raw/x/2024/06/01/{start}.jsonl.gz",
                "line": number - start + 1,
                "record": json.dumps(record(number)).encode(),
                "problem": None,
            }
            for number in range(start, min(documents, start + BATCH_DOCUMENTS))
        ]
        batch = pa.RecordBatch.from_pylist(lines, schema=ARROW_SCHEMA)
        before, cpu_before = time.perf_counter(), time.process_time()
        for _ in clean_records(iter([batch]), companies=[], settings=settings.cleaning):
            pass
        wall += time.perf_counter() - before
        cpu += time.process_time() - cpu_before
    return wall, cpu


def signatures(documents: int) -> dict[str, float]:
    """Signatures per CPU-second: ours, and datasketch's MinHash over the same 3-grams with as many permutations."""
    from datasketch import MinHash

    texts = [news(number).replace("<p>　　", "").replace("</p>", "") for number in range(documents)]
    started = time.process_time()
    for content in texts:
        signature(content)
    ours = time.process_time() - started
    started = time.process_time()
    for content in texts:
        grams = {content[place : place + SHINGLE].encode() for place in range(len(content) - SHINGLE + 1)}
        MinHash(num_perm=PERMUTATIONS).update_batch(grams)
    theirs = time.process_time() - started
    return {
        "signatures_per_cpu_s": round(documents / ours, 1),
        "datasketch_signatures_per_cpu_s": round(documents / theirs, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1000)
    documents = parser.parse_args().documents
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        first = load_settings(data_dir=Path(folder), embedded={"postgres_port": 35433, "s3_port": 38333})
        planned = embedded.plan(first, ["database", "s3"])
        supervisor = Supervisor(planned.services, Path(folder) / "logs", 20, None)
        supervisor.start()
        try:
            supervisor.wait_until_ready()
            s3 = planned.addresses["s3"]
            settings = load_settings(
                data_dir=Path(folder),
                s3={"endpoint": s3["endpoint"], "access_key": s3["access_key"], "secret_key": s3["secret_key"]},
                database={"url": planned.addresses["database"]["url"]},
            )
            print(json.dumps(measure(settings, documents)), flush=True)
        finally:
            supervisor.stop()


def with_cleaning(settings: Settings, prefix: str, **cleaning: Any) -> Settings:
    """The settings with another prefix on S3 and these changes to the cleaning's."""
    s3 = settings.s3.model_copy(update={"prefix": prefix})
    return settings.model_copy(update={"s3": s3, "cleaning": settings.cleaning.model_copy(update=cleaning)})


def run(settings: Settings, usage: Usage, documents: int) -> tuple[float, float, dict[str, Any]]:
    """(wall, CPU) seconds of cleaning so many documents into empty tables, and the run's summary."""
    write(ObjectStore.from_settings(settings), documents)
    pool = engine(settings)
    with pool.begin() as connection:
        connection.execute(
            text("TRUNCATE documents, reprint_groups, ledger, staged_articles, procrastinate_jobs CASCADE")
        )
    pool.dispose()
    before, started = usage.cpu(), time.perf_counter()
    summary = clean_pending(settings)
    return time.perf_counter() - started, usage.cpu() - before, vars(summary)


def measure(settings: Settings, documents: int) -> dict[str, Any]:
    """Run job and loop over the same documents."""
    services = {process.pid for process in psutil.Process().children(recursive=True)}
    usage = Usage(services)
    small_wall, small_cpu, _ = run(with_cleaning(settings, "small"), usage, SMALL)
    before, started = usage.cpu(), time.perf_counter()
    spark = with_cleaning(settings, "tenth", spark_from_bytes=0)
    session = spark_session(spark)
    session_wall, session_cpu = time.perf_counter() - started, usage.cpu() - before
    run(with_cleaning(settings, "first", spark_from_bytes=0), usage, 1)  # Java and the workers are warm from here on
    _, tenth, _ = run(spark, usage, documents // 10)
    wall, cpu, summary = run(with_cleaning(settings, "all", spark_from_bytes=0), usage, documents)
    usage.stop()
    session.stop()
    loop_wall, loop_cpu = loop(settings, documents)
    return {
        "documents": documents,
        "documents_per_cpu_s": round(documents / cpu, 1),
        "seconds": round(wall, 1),
        "session_start_s": round(session_wall, 1),
        "session_start_cpu_s": round(session_cpu, 1),
        "peak_mib": usage.peak // 2**20,
        "growth_exponent": round(math.log10(cpu / tenth), 3),
        "loop_seconds": round(loop_wall, 1),
        "loop_documents_per_cpu_s": round(documents / loop_cpu, 1),
        "ratio_to_loop": round(loop_wall / wall, 2),
        "small_documents": SMALL,
        "small_seconds": round(small_wall, 1),
        "small_cpu_s": round(small_cpu, 1),
        **signatures(min(documents, 1000)),
        **summary,
    }


if __name__ == "__main__":
    main()

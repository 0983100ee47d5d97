"""How fast cleaning is: documents per CPU-second of the whole Spark job, beside the same steps in a plain loop.

    python benchmarks/clean.py [--documents 1000]

Starts its own SeaweedFS and PostgreSQL in a temporary folder. Prints one JSON line: wall and CPU seconds of the job (all processes
below this one, Java included), of its start-up, and of the loop (extraction, normalisation, signature, matching; no S3, no tables).
"""

import argparse
import gzip
import json
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from cleaning.job import clean_pending
from cleaning.s3source import ARROW_SCHEMA
from cleaning.spark import spark_session
from cleaning.stage import clean_records
from yuqing.embedded import services as embedded
from yuqing.embedded.supervisor import Supervisor
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

BATCH_DOCUMENTS = 200
REPRINT_SHARE = 0.3


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


def loop(settings: Settings, documents: int) -> float:
    """CPU seconds of the same steps in this process, one document after another."""
    import pyarrow as pa

    started = time.process_time()
    for number in range(documents):
        line = {
            "batch": "raw/x/2024/06/01/a",
            "line": 1,
            "record": json.dumps(record(number)).encode(),
            "problem": None,
        }
        batch = pa.RecordBatch.from_pylist([line], schema=ARROW_SCHEMA)
        for _ in clean_records(iter([batch]), companies=[], settings=settings.cleaning):
            pass
    return time.process_time() - started


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


def measure(settings: Settings, documents: int) -> dict[str, Any]:
    """Run job and loop over the same documents."""
    write(ObjectStore.from_settings(settings), documents)
    services = {process.pid for process in psutil.Process().children(recursive=True)}
    usage = Usage(services)
    before, started = usage.cpu(), time.perf_counter()
    session = spark_session(settings)
    session_wall, session_cpu = time.perf_counter() - started, usage.cpu() - before
    before, started = usage.cpu(), time.perf_counter()
    summary = clean_pending(settings)
    wall, cpu = time.perf_counter() - started, usage.cpu() - before
    usage.stop()
    session.stop()
    loop_cpu = loop(settings, documents)
    return {
        "documents": documents,
        "documents_per_cpu_s": round(documents / cpu, 1),
        "seconds": round(wall, 1),
        "session_start_s": round(session_wall, 1),
        "session_start_cpu_s": round(session_cpu, 1),
        "peak_mib": usage.peak // 2**20,
        "loop_documents_per_cpu_s": round(documents / loop_cpu, 1),
        "ratio_to_loop": round(loop_cpu / cpu, 2),
        **vars(summary),
    }


if __name__ == "__main__":
    main()

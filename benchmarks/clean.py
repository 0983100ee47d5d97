"""How fast cleaning is, and how its cost grows: the job on Spark beside the same steps in one process.

    python benchmarks/clean.py [--documents 1000] [--repeat 2]

Starts its own SeaweedFS and PostgreSQL in a temporary folder, with a watchlist of 1,000 companies. The documents are news texts as
pages, 200 a batch, three in ten a reprint (benchmarks/material/news_pages.py). Prints one JSON line.

The job is `yuqing clean`: Spark's Python workers read batches from S3, clean them, write Parquet to S3 and COPY rows to PostgreSQL,
and the driver merges them. The loop is the same functions in the same order in one process, `yuqing clean` without Spark: the same
batches from S3, the same Parquet, rows and merges, into the same tables, emptied before. It is checked that both bring the same.
A machine's speed changes within minutes: job and loop take turns, `--repeat` times, and change places each time. Figures are means
over these (beyond 10,000 documents the whole job runs once); peaks are the highest. A first run on Spark, which writes down Java's
classes (cleaning/class_archive.py, some 20 s), is not counted.

    documents_per_cpu_s    of the job; CPU seconds are those of all processes, services included (cpu_s: by program)
    seconds                wall time of the job from the command's start to its end, with the start of Java and Spark
    spark_start_s          of a run over one document: what Spark costs before there is any work
    peak_mib               of the driver, its Java and the Python workers together, shared pages counted once (PSS), and of what
                           measures them (60 MiB); of the job, of that over a tenth (tenth_) and of the loop (loop_)
    growth_exponent        log10 of the CPU seconds by those of a tenth of the documents, both without those of spark_start_s
    ratio_to_loop          the loop's wall time by the job's (ratios: of each turn); beyond 10,000 documents, of a tenth of them
    steps                  documents per CPU-second of each step by itself, in this process
    signatures_per_cpu_s   beside datasketch's MinHash of the same 3-grams with as many permutations
    small_*                a run of 200 documents as it is after each crawl, without Spark
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil  # noqa: E402
from pydantic import SecretStr  # noqa: E402
from sqlalchemy import text  # noqa: E402

from benchmarks.material.news_pages import record, write_batches  # noqa: E402
from cleaning import extract, metadata  # noqa: E402
from cleaning.article import one_line  # noqa: E402
from cleaning.decode import repair  # noqa: E402
from cleaning.duplicates import PERMUTATIONS, SHINGLE, bands, signature  # noqa: E402
from cleaning.quality import reason_to_drop  # noqa: E402
from cleaning.stage import mentions_of  # noqa: E402
from yuqing import telemetry, watchlist  # noqa: E402
from yuqing.contracts import read_raw_document  # noqa: E402
from yuqing.database.session import engine  # noqa: E402
from yuqing.embedded import services as embedded  # noqa: E402
from yuqing.embedded.supervisor import Supervisor  # noqa: E402
from yuqing.objects import ObjectStore  # noqa: E402
from yuqing.settings import Settings, load_settings  # noqa: E402
from yuqing.text.bigrams import bigrams  # noqa: E402
from yuqing.text.mask import mask  # noqa: E402
from yuqing.text.matcher import Matcher  # noqa: E402
from yuqing.text.normalise import normalise  # noqa: E402

SERVICES = {"postgres", "weed"}
SMALL = 200
LOOP_DOCUMENTS = 10_000  # more would only repeat what the loop is known to do
STEP_DOCUMENTS = 1_000
FAMOUS = (
    "华为",
    "小米",
    "腾讯",
    "阿里巴巴",
    "百度",
    "京东",
    "美团",
    "苹果公司",
    "特斯拉",
    "比亚迪",
    "茅台",
    "中国移动",
    "恒大",
    "万科",
    "格力",
)
COMPANIES = 1_000
_NEVER = 2**60


class Usage:
    """CPU seconds of everything that runs below this process, by program, and the peak memory of what is not a service."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], tuple[str, float]] = {}
        self.peak = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _sample(self, memory: bool) -> None:
        me, total = psutil.Process(), 0
        with self._lock:
            for process in [me, *me.children(recursive=True)]:
                try:
                    times, name = process.cpu_times(), process.name().split(":")[0]
                    self._seconds[process.pid, process.create_time()] = (name, times.user + times.system)
                    if memory and name not in SERVICES:
                        total += process.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
        self.peak = max(self.peak, total)

    def _watch(self) -> None:
        tick = 0
        while not self._stop.wait(0.5):
            try:
                # The kernel takes 20 ms for a GiB, which the job has no core to spare for.
                self._sample(memory=tick % 6 == 0)
            except psutil.NoSuchProcess:
                continue
            tick += 1

    def cpu(self) -> Counter[str]:
        """CPU seconds so far by program; a process that ended since its last sample is counted up to there."""
        self._sample(memory=False)
        with self._lock:
            seconds: Counter[str] = Counter()
            for name, used in self._seconds.values():
                seconds[name] += used  # type: ignore[assignment]
            return seconds

    @contextmanager
    def measured(self, result: dict[str, Any]) -> Any:
        """Puts wall seconds, CPU seconds by program and the peak memory of what runs inside into the result."""
        self.peak = 0
        before, started = self.cpu(), time.perf_counter()
        yield
        result["seconds"] = time.perf_counter() - started
        after = self.cpu()
        result["peak_mib"] = self.peak // 2**20
        result["cpu"] = {name: round(after[name] - before[name], 1) for name in after if after[name] > before[name]}

    def stop(self) -> None:
        """End the sampling."""
        self._stop.set()
        self._thread.join()


def watch_companies(settings: Settings) -> None:
    """A watchlist of COMPANIES: some that news speak of, and others."""
    pool = engine(settings)
    names = [*FAMOUS, *(f"第{number}实业股份有限公司" for number in range(COMPANIES - len(FAMOUS)))]
    with pool.begin() as connection:
        team = connection.execute(text("INSERT INTO teams (name) VALUES ('bench') RETURNING id")).scalar_one()
        statement = text("INSERT INTO companies (team_id, name) VALUES (:team, :name)")
        connection.execute(statement, [{"team": team, "name": name} for name in names])
    pool.dispose()


def with_cleaning(settings: Settings, prefix: str, **cleaning: Any) -> Settings:
    """The settings with another prefix on S3 and these changes to the cleaning's."""
    s3 = settings.s3.model_copy(update={"prefix": prefix})
    return settings.model_copy(update={"s3": s3, "cleaning": settings.cleaning.model_copy(update=cleaning)})


def run(settings: Settings, usage: Usage, documents: int) -> dict[str, Any]:
    """`yuqing clean` over so many documents into empty tables: seconds, cpu (by program), summary."""
    write_batches(ObjectStore.from_settings(settings), documents)
    pool = engine(settings)
    with pool.begin() as connection:
        connection.execute(
            text("TRUNCATE documents, reprint_groups, ledger, staged_articles, procrastinate_jobs CASCADE")
        )
    pool.dispose()
    environment = {
        **os.environ,
        "YUQING_DATA_DIR": str(settings.state),
        "YUQING_CACHE_DIR": str(settings.state / "cache"),
        "YUQING_S3__ENDPOINT": str(settings.s3.endpoint),
        "YUQING_S3__ACCESS_KEY": revealed(settings.s3.access_key),
        "YUQING_S3__SECRET_KEY": revealed(settings.s3.secret_key),
        "YUQING_S3__PREFIX": settings.s3.prefix,
        "YUQING_DATABASE__URL": revealed(settings.database.url),
        "YUQING_CLEANING__SPARK_FROM_BYTES": str(settings.cleaning.spark_from_bytes),
    }
    command = [sys.executable, "-m", "yuqing", "clean", "--json"]
    result: dict[str, Any] = {}
    with usage.measured(result):
        done = subprocess.run(command, env=environment, cwd=sys.path[0], stdout=subprocess.PIPE, check=True)
    print(f"{documents} documents: {result}", file=sys.stderr, flush=True)
    return {**result, "summary": json.loads(done.stdout)}


def revealed(secret: SecretStr | None) -> str:
    """A secret of the settings, for the environment of the command."""
    return secret.get_secret_value() if secret else ""


def steps(settings: Settings, documents: int) -> dict[str, float]:
    """Documents per CPU-second of each step, one after another over the same documents."""
    figures: dict[str, float] = {}

    def timed(name: str, step: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        started = time.process_time()
        results = [step(item) for item in items]
        figures[name] = round(documents / (time.process_time() - started))
        return results

    lines = [json.dumps(record(number), ensure_ascii=False).encode() for number in range(documents)]
    pool = engine(settings)
    with pool.connect() as connection:
        matcher = Matcher(watchlist.from_database(connection))
    pool.dispose()
    raw = timed("read", read_raw_document, lines)
    bodies = timed("decode", lambda document: repair(document.body), raw)
    pages = timed("parse", extract.read, bodies)
    texts = timed("extract", lambda pair: extract.main_text(*pair), list(zip(pages, bodies, strict=True)))
    found = timed(
        "metadata",
        lambda pair: metadata.read(pair[0], fetched_at=pair[1].fetched_at),
        list(zip(pages, raw, strict=True)),
    )
    titles = [one_line(item.title) for item in found]
    texts = timed("normalise", lambda item: normalise(item).text, texts)
    pairs = list(zip(titles, texts, strict=True))
    timed("filter", lambda pair: reason_to_drop(*pair, settings.cleaning), pairs)
    timed("mask", lambda pair: [mask(part) for part in pair], pairs)
    timed("signature", lambda item: bands(signature(item or "空")), texts)
    timed("watchlist", lambda pair: mentions_of(matcher, *pair), pairs)
    timed("terms", lambda pair: bigrams("\n".join(pair)), pairs)
    return figures


def signatures(documents: int) -> dict[str, float]:
    """Signatures per CPU-second: ours, and datasketch's MinHash over the same 3-grams with as many permutations."""
    from datasketch import MinHash

    from benchmarks.material.news_pages import story

    texts = [normalise(story(number)[1]).text for number in range(documents)]
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
        "characters_a_text": round(sum(map(len, texts)) / documents),
        "signatures_per_cpu_s": round(documents / ours),
        "datasketch_signatures_per_cpu_s": round(documents / theirs),
    }


def measure(settings: Settings, documents: int, repeat: int) -> dict[str, Any]:
    """Run job and loop over the same documents, in turns."""
    usage = Usage()
    watch_companies(settings)
    on_spark = partial(with_cleaning, settings, spark_from_bytes=0)
    run(on_spark("archive"), usage, 1)
    small = run(with_cleaning(settings, "small"), usage, SMALL)
    starts, tenths, jobs, loops = list[Any](), list[Any](), list[Any](), list[Any]()
    compared, side_by_side = (jobs, documents) if documents <= LOOP_DOCUMENTS else (tenths, documents // 10)

    def on_spark_in_turn(turn: int) -> None:
        starts.append(run(on_spark("first"), usage, 1))
        tenths.append(run(on_spark("tenth"), usage, documents // 10))
        if turn == 0 or compared is jobs:
            jobs.append(run(on_spark("all"), usage, documents))

    def in_one_process() -> None:
        loops.append(run(with_cleaning(settings, "loop", spark_from_bytes=_NEVER), usage, side_by_side))

    for turn in range(repeat):
        if turn % 2:
            in_one_process()
        on_spark_in_turn(turn)
        if turn % 2 == 0:
            in_one_process()
        assert loops[-1]["summary"] == compared[-1]["summary"], "job and loop must bring the same"
    usage.stop()
    cpu, cpu_of_tenth, cpu_of_loop, cpu_of_start = (
        sum(mean_cpu(runs).values()) for runs in (jobs, tenths, loops, starts)
    )
    job_s, loop_s, compared_s, start_s = (
        mean(part["seconds"] for part in runs) for runs in (jobs, loops, compared, starts)
    )
    return {
        "documents": documents,
        "documents_per_cpu_s": round(documents / cpu, 1),
        "seconds": round(job_s, 1),
        "cpu_s": mean_cpu(jobs),
        "spark_start_s": round(start_s, 1),
        "spark_start_cpu_s": round(cpu_of_start, 1),
        "peak_mib": max(part["peak_mib"] for part in jobs),
        "tenth_peak_mib": max(part["peak_mib"] for part in tenths),
        "growth_exponent": round(math.log10((cpu - cpu_of_start) / (cpu_of_tenth - cpu_of_start)), 3),
        "loop_documents": side_by_side,
        "loop_seconds": round(loop_s, 1),
        "loop_documents_per_cpu_s": round(side_by_side / cpu_of_loop, 1),
        "loop_cpu_s": mean_cpu(loops),
        "loop_peak_mib": max(part["peak_mib"] for part in loops),
        "ratio_to_loop": round(loop_s / compared_s, 2),
        "ratios": [round(a["seconds"] / b["seconds"], 2) for a, b in zip(loops, compared, strict=True)],
        "steps": steps(settings, min(documents, STEP_DOCUMENTS)),
        **signatures(min(documents, STEP_DOCUMENTS)),
        "small_documents": SMALL,
        "small_seconds": round(small["seconds"], 1),
        "small_cpu_s": round(sum(small["cpu"].values()), 1),
        **jobs[-1]["summary"],
    }


def mean_cpu(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of the runs' CPU seconds by program."""
    total: Counter[str] = Counter()
    for part in runs:
        total.update(part["cpu"])
    return {name: round(seconds / len(runs), 1) for name, seconds in total.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=2, choices=range(1, 11), metavar="1..10")
    given = parser.parse_args()
    telemetry.configure(stage="benchmark")  # logs go to standard error, the figures alone to standard output
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
            print(json.dumps(measure(settings, given.documents, given.repeat)), flush=True)
        finally:
            supervisor.stop()


if __name__ == "__main__":
    main()

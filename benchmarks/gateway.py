"""How fast does the gateway answer over a large press? A real server, a real PostgreSQL of its own, clients on 127.0.0.1.

    python benchmarks/gateway.py [--documents N] [--smaller M] [--folder F]

With --folder the databases are kept there (F/N) and used again. Documents are generated (material/gateway_press.py), 3,000 a
day back from now, with 200 companies and three mentions each; so more documents are a longer past. Prints one JSON line:

    list_p50_ms, list_p95_ms      lists at 4 clients: plain, by company, sentiment, risk, site, collapsed
    search_p50_ms, search_p95_ms  words of 2 to 4 characters, from the commonest to the rarest, at 4 clients
    company_ms                    p95 of a company's trends one after another: volume, by site, sources, keywords, families
    watchlist_ms, voice_ms        median of GET /v1/companies, and of the comparison of all companies over 30 days
    export_rows_per_s             CSV, one client
    list_per_s, bare_per_s, ratio_to_bare   plain lists at 16 clients, and a bare FastAPI endpoint that runs the list's own
                                  statements and returns their rows; by wrk, which takes least from what it measures
    client                        "wrk", or "python" where wrk is missing (Debian: apt-get install wrk); then a client in Python
                                  shares the cores, and the ratio comes out higher than it is
    growth_list, ..._search, ..._company, ..._export   with --smaller: how many times as long it takes as with M documents
    load_s                        generating and loading, 0 when it was there
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlencode

sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx  # noqa: E402
import psycopg  # noqa: E402

from benchmarks.material.gateway_press import COMPANIES, SITES, Press, load, prepare  # noqa: E402
from gateway.auth import SHOWN_CHARACTERS, digest, new_key  # noqa: E402
from gateway.queries.documents import list_documents  # noqa: E402
from gateway.queries.keys import NewKey, store_key  # noqa: E402
from gateway.queries.selection import DocumentFilter  # noqa: E402
from yuqing import telemetry  # noqa: E402
from yuqing.database.session import async_engine, engine, transaction  # noqa: E402
from yuqing.embedded import services as embedded  # noqa: E402
from yuqing.embedded.supervisor import Supervisor  # noqa: E402
from yuqing.settings import Settings, load_settings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> int:
    """Send a GET and read its answer; returns the body's bytes. A client as thin as can be: it shares the cores."""
    writer.write(head)
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    if b" 200 " not in lines[0] + b" ":
        raise RuntimeError(f"{head.splitlines()[0]!r} -> {lines[0]!r}")
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
    return len(await reader.readexactly(int(headers[b"content-length"])))


async def drive(port: int, key: str, paths: Sequence[str], clients: int) -> tuple[list[float], float]:
    """Ask for all paths, `clients` at a time over kept connections; each path's time in ms, and the wall time in s."""
    times = [0.0] * len(paths)
    waiting = iter(range(len(paths)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        for index in waiting:
            head = f"GET {paths[index]} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
            started = time.perf_counter()
            await _request(reader, writer, head)
            times[index] = (time.perf_counter() - started) * 1000
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return times, time.perf_counter() - started


def lists(count: int) -> list[str]:
    """Lists as readers ask for them."""
    chance = random.Random(3)
    kinds: list[dict[str, Any]] = [{}, {"company": 0}, {"sentiment": "negative"}, {"risk": 2}, {"site": 0}]
    kinds += [{"collapse": "true"}, {"company": 0, "sentiment": "negative"}, {"company": 0, "collapse": "true"}]
    paths = []
    for number in range(count):
        wanted = dict(kinds[number % len(kinds)])
        if "company" in wanted:
            wanted["company"] = chance.randrange(1, COMPANIES + 1)
        if "site" in wanted:
            wanted["site"] = f"site{chance.randrange(SITES):02}"
        paths.append("/v1/documents?" + urlencode(wanted))
    return paths


def searches(press: Press, count: int) -> list[str]:
    """Distinct words, their ranks spread evenly on a logarithmic scale."""
    ranks = {int(len(press.words) ** (number / count)) - 1 for number in range(count * 3)}
    words = list(dict.fromkeys(press.words[rank] for rank in sorted(ranks) if rank < len(press.words)))
    random.Random(5).shuffle(words)
    return ["/v1/search?" + urlencode({"q": word}) for word in words[:count]]


def trends(company: int) -> list[str]:
    """What a company's page asks for."""
    names = ("volume?", "volume?by=site&", "sources?", "keywords?", "families?")
    return [f"/v1/trends/{name}company={company}" for name in names]


async def bare_statements(settings: Settings) -> list[tuple[Any, Any]]:
    """The statements of a plain list, as they reach the driver."""
    pool = async_engine(settings)
    seen: list[tuple[Any, Any]] = []
    execute = psycopg.AsyncCursor.execute

    async def noted(self: psycopg.AsyncCursor[Any], query: Any, params: Any = None, **more: Any) -> Any:
        seen.append((query, params))
        return await execute(self, query, params, **more)

    async with pool.connect() as connection:
        psycopg.AsyncCursor.execute = noted  # type: ignore[assignment,method-assign]
        await list_documents(connection, 1, DocumentFilter(), limit=30)
        psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]
    await pool.dispose()
    return seen


def serve_bare(port: int, settings: Settings) -> None:
    """A FastAPI endpoint that runs the same statements and returns their rows, and does nothing else."""
    import uvicorn
    from fastapi import FastAPI
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    statements = asyncio.run(bare_statements(settings))
    url = str(settings.database.url.get_secret_value() if settings.database.url else "")
    app = FastAPI()
    pool = AsyncConnectionPool(
        url, open=False, min_size=5, max_size=5, kwargs={"autocommit": True, "row_factory": dict_row}
    )

    @app.get("/documents")
    async def documents() -> list[list[dict[str, Any]]]:
        await pool.open()
        async with pool.connection() as connection:
            return [await (await connection.execute(text, values)).fetchall() for text, values in statements]

    uvicorn.run(app, port=port, log_config=None, access_log=False)


@contextmanager
def process(arguments: Sequence[str], port: int, path: str, settings: Settings) -> Iterator[None]:
    """A server in a process of its own, up to its first answer."""
    assert settings.database.url is not None
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("YUQING_")},
        "PYTHONPATH": str(ROOT),
        "YUQING_DATA_DIR": str(settings.data_dir),
        "YUQING_DATABASE__URL": settings.database.url.get_secret_value(),
        "YUQING_GATEWAY__REQUESTS_PER_MINUTE": "1000000",
        "YUQING_GATEWAY__BURST": "1000000",
        "YUQING_TELEMETRY__LEVEL": "warning",
    }
    server = subprocess.Popen([sys.executable, *arguments], env=environment, cwd=ROOT)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"{arguments} does not answer on port {port}")
        yield
    finally:
        server.terminate()
        server.wait(30)


def throughput(port: int, path: str, key: str) -> float:
    """Answers a second to 16 clients over kept connections. Raises SystemExit when one is not 200."""
    url = f"http://127.0.0.1:{port}{path}"
    if not shutil.which("wrk"):
        asyncio.run(drive(port, key, [path] * 60, 16))
        return 600 / asyncio.run(drive(port, key, [path] * 600, 16))[1]
    command = ["wrk", "-t1", "-c16", "-H", f"Authorization: Bearer {key}"]
    subprocess.run([*command, "-d1s", url], check=True, capture_output=True)
    said = subprocess.run([*command, "-d5s", url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or not (found := re.search(r"Requests/sec:\s+([\d.]+)", said)):
        raise SystemExit(f"wrk on {path}: {said}")
    return float(found[1])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def p95(times: Sequence[float]) -> float:
    """The 95th percentile."""
    return round(quantiles(times, n=20)[-1], 1)


def export_rate(port: int, key: str, most: int) -> float:
    """Rows a second of the CSV, read to the end or to `most` rows."""
    started, rows = time.perf_counter(), -1
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
    with httpx.stream(
        "GET", f"http://127.0.0.1:{port}/v1/documents/export", headers=headers, trust_env=False, timeout=600
    ) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            rows += part.count(b"\r\n")
            if rows >= most:
                break
    return rows / (time.perf_counter() - started)


def measure(settings: Settings, documents: int, key: str) -> dict[str, Any]:
    """All the figures; each kind of request is warmed up first."""
    press, port, bare_port = Press(documents), free_port(), free_port()
    figures: dict[str, Any] = {"documents": documents, "client": "wrk" if shutil.which("wrk") else "python"}
    with process(["-m", "yuqing", "serve", "--port", str(port)], port, "/livez", settings):

        def run(paths: Sequence[str], clients: int) -> list[float]:
            return asyncio.run(drive(port, key, paths, clients))[0]

        run(lists(40), 4)
        times = run(lists(400), 4)
        figures |= {"list_p50_ms": round(median(times), 1), "list_p95_ms": p95(times)}
        wanted = searches(press, 220)
        run(wanted[:20], 4)
        times = run(wanted[20:], 4)
        figures |= {"search_p50_ms": round(median(times), 1), "search_p95_ms": p95(times)}
        run(trends(1), 1)
        figures["company_ms"] = p95([sum(run(trends(company), 1)) for company in range(1, COMPANIES + 1, 10)])
        figures["watchlist_ms"] = round(median(run(["/v1/companies"] * 5, 1)), 1)
        figures["voice_ms"] = round(median(run(["/v1/trends/share-of-voice"] * 5, 1)), 1)
        figures["export_rows_per_s"] = round(export_rate(port, key, 300_000))
        figures["list_per_s"] = round(throughput(port, "/v1/documents", key), 1)
    with process([__file__, "--serve-bare", str(bare_port)], bare_port, "/documents", settings):
        figures["bare_per_s"] = round(throughput(bare_port, "/documents", key), 1)
    return figures | {"ratio_to_bare": round(figures["list_per_s"] / figures["bare_per_s"], 2)}


def growth(large: dict[str, Any], small: dict[str, Any]) -> dict[str, float]:
    """How many times as long everything takes."""
    times = {"list": "list_p95_ms", "search": "search_p95_ms", "company": "company_ms"}
    ratios = {f"growth_{name}": round(large[key] / small[key], 2) for name, key in times.items()}
    return ratios | {"growth_export": round(small["export_rows_per_s"] / large["export_rows_per_s"], 2)}


def with_documents(folder: Path, documents: int, *, load_only: bool) -> dict[str, Any]:
    """Fill the database in the folder unless it is there already, and measure."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    planned = embedded.plan(load_settings(data_dir=folder, embedded={"postgres_port": 35533}), ["database"])

    def start() -> Supervisor:
        supervisor = Supervisor(planned.services, folder / "logs", 20, None)
        supervisor.start()
        supervisor.wait_until_ready()
        return supervisor

    supervisor = start()
    try:
        url = planned.addresses["database"]["url"]
        settings = load_settings(data_dir=folder, database={"url": url})
        started = time.perf_counter()
        with psycopg.connect(url) as connection:
            known = connection.execute("SELECT count(*) FROM documents").fetchone()
        if known != (documents,):
            prepare(url)
            supervisor.stop()
            supervisor = start()
            load(url, documents)
        load_s = round(time.perf_counter() - started, 1)
        if load_only:
            return {}
        key, pool = new_key(), engine(settings)
        with transaction(pool) as connection:
            store_key(connection, "bench", NewKey("bench", key[:SHOWN_CHARACTERS], digest(key), "analyst", None))
        pool.dispose()
        return measure(settings, documents, key) | {"load_s": load_s}
    finally:
        supervisor.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=12_000)
    parser.add_argument("--smaller", type=int, help="measure with so many, too, and print the growth")
    parser.add_argument("--folder", type=Path, help="keep the databases here, and use them again")
    parser.add_argument("--load-only", action="store_true", help="fill the folder's databases and end")
    parser.add_argument("--serve-bare", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    telemetry.configure(stage="benchmark")  # logs go to standard error, the figures alone to standard output
    if given.serve_bare:
        serve_bare(given.serve_bare, load_settings())
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(given.folder or temporary).absolute()
        small = (
            with_documents(folder / str(given.smaller), given.smaller, load_only=given.load_only)
            if given.smaller
            else {}
        )
        figures = with_documents(folder / str(given.documents), given.documents, load_only=given.load_only)
        if not given.load_only:
            print(json.dumps(figures | (growth(figures, small) if small else {})), flush=True)


if __name__ == "__main__":
    main()

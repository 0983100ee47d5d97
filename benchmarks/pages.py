"""How fast do the analysts' pages come over a large press? A real server, a real PostgreSQL of its own, a real Chromium.

    python benchmarks/pages.py [--documents N] [--folder F]

The database is that of benchmarks/gateway.py (with --folder it is kept, and one that is there is used again): 200 companies, three
mentions a document, 3,000 documents a day back from now. One reader asks for one page after another. Prints one JSON line:

    server_p95_ms        the largest of the pages' 95th percentiles, each from the request to the last byte
    <page>_p95_ms        overview, company, document, search, family
    search_api_p95_ms    the baseline: the same searches answered by /v1/search, without a page around them
    render_ms            median of a search's page less median of the same search by the API
    fcp_ms               median first contentful paint of the pages in Chromium, 5 loads each, the files in its cache
    fcp_cold_ms          that of the overview with nothing in the cache
    page_kib             the heaviest page with its styles and scripts as sent (gzip), without the chart library
    chart_library_kib    the chart library as sent, once
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx  # noqa: E402
import psycopg  # noqa: E402

from benchmarks.gateway import free_port, process, searches  # noqa: E402
from benchmarks.material.gateway_press import COMPANIES, Press, load  # noqa: E402
from gateway.auth import SHOWN_CHARACTERS, digest, new_key  # noqa: E402
from gateway.queries.keys import NewKey, store_key  # noqa: E402
from tests.gateway.browsing import chromium, sign_in  # noqa: E402
from yuqing import telemetry  # noqa: E402
from yuqing.database.session import engine, transaction  # noqa: E402
from yuqing.embedded import services as embedded  # noqa: E402
from yuqing.embedded.supervisor import Supervisor  # noqa: E402
from yuqing.settings import Settings, load_settings  # noqa: E402

SAMPLES = 24
CHART_LIBRARY = "echarts"


def paths(press: Press) -> dict[str, list[str]]:
    """What is asked for, page by page."""
    chance = random.Random(9)
    words = [path.replace("/v1/search", "/search") for path in searches(press, SAMPLES)]
    latest = [press.doc_id(press.documents - chance.randrange(1, min(press.documents, 30_000))) for _ in range(SAMPLES)]
    return {
        "overview": ["/", "/?days=1", "/?days=30", "/?order=volume"] * (SAMPLES // 4),
        "company": [f"/companies/{chance.randrange(1, COMPANIES + 1)}" for _ in range(SAMPLES)],
        "document": [f"/documents/{doc_id}" for doc_id in latest],
        "search": words,
        "family": [f"/documents/{doc_id}/family" for doc_id in latest],
    }


def signed_in(address: str, key: str) -> httpx.Client:
    """A client with a session."""
    client = httpx.Client(base_url=address, trust_env=False, timeout=60)
    csrf = re.search(r'name="csrf" value="([^"]*)"', client.get("/sign-in").text)
    assert csrf is not None
    answer = client.post("/sign-in", data={"key": key, "csrf": csrf[1]})
    assert answer.status_code == 303, answer.status_code
    return client


def timed(client: httpx.Client, wanted: Sequence[str], **more: Any) -> list[float]:
    """Milliseconds to the last byte of each, after one warm-up request."""
    client.get(wanted[0], **more)
    times = []
    for path in wanted:
        started = time.perf_counter()
        answer = client.get(path, **more)
        times.append((time.perf_counter() - started) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
    return times


def p95(times: Sequence[float]) -> float:
    """The 95th percentile."""
    return round(quantiles(times, n=20)[-1], 1)


def sent_bytes(client: httpx.Client, address: str) -> int:
    """The body as it came over the wire."""
    with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        return sum(len(part) for part in answer.iter_raw())


def weigh(client: httpx.Client, wanted: dict[str, list[str]]) -> dict[str, float]:
    """KiB of the heaviest page with what it loads, and of the chart library."""
    heaviest, library = 0, 0
    for some in wanted.values():
        page = client.get(some[0]).text
        files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page))
        weights = {file: sent_bytes(client, file) for file in files}
        library = max([library, *(size for file, size in weights.items() if CHART_LIBRARY in file)])
        total = sent_bytes(client, some[0]) + sum(size for file, size in weights.items() if CHART_LIBRARY not in file)
        heaviest = max(heaviest, total)
    return {"page_kib": round(heaviest / 1024, 1), "chart_library_kib": round(library / 1024, 1)}


FCP = "return performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0] || null"


def paints(address: str, key: str, wanted: dict[str, list[str]]) -> dict[str, float]:
    """First contentful paints in Chromium."""
    with chromium() as browser:

        def paint(path: str) -> float:
            browser.get(address + path)
            for _ in range(100):
                if (found := browser.execute_script(FCP)) is not None:
                    return float(found)
                time.sleep(0.02)
            raise SystemExit(f"{path} painted nothing")

        sign_in(browser, address, key)
        browser.execute_cdp_cmd("Network.clearBrowserCache", {})
        cold = paint("/")
        times = [paint(some[number % len(some)]) for some in wanted.values() for number in range(5)]
    return {"fcp_ms": round(median(times)), "fcp_p95_ms": round(p95(times)), "fcp_cold_ms": round(cold)}


def measure(settings: Settings, press: Press, key: str) -> dict[str, Any]:
    """All the figures."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    figures: dict[str, Any] = {"documents": press.documents}
    wanted = paths(press)
    with process(["-m", "yuqing", "serve", "--port", str(port)], port, "/livez", settings):
        client = signed_in(address, key)
        times = {name: timed(client, some) for name, some in wanted.items()}
        by_api = timed(
            client,
            [path.replace("/search", "/v1/search", 1) for path in wanted["search"]],
            headers={"Authorization": f"Bearer {key}"},
        )
        figures["server_p95_ms"] = max(p95(each) for each in times.values())
        figures |= {f"{name}_p95_ms": p95(each) for name, each in times.items()}
        figures["search_api_p95_ms"] = p95(by_api)
        figures["render_ms"] = round(median(times["search"]) - median(by_api), 1)
        figures |= paints(address, key, wanted)
        figures |= weigh(client, wanted)
    return figures


@contextmanager
def press_room(folder: Path, documents: int) -> Iterator[tuple[Settings, str]]:
    """The database, filled unless it is already, and an analyst's key."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    planned = embedded.plan(load_settings(data_dir=folder, embedded={"postgres_port": 35543}), ["database"])
    supervisor = Supervisor(planned.services, folder / "logs", 20, None)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        url = planned.addresses["database"]["url"]
        settings = load_settings(data_dir=folder, database={"url": url})
        with psycopg.connect(url) as connection:
            known = connection.execute("SELECT count(*) FROM documents").fetchone()
        if known != (documents,):
            load(url, documents)
        key, pool = new_key(), engine(settings)
        with transaction(pool) as connection:
            store_key(connection, "bench", NewKey("bench", key[:SHOWN_CHARACTERS], digest(key), "analyst", None))
        pool.dispose()
        yield settings, key
    finally:
        supervisor.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=12_000)
    parser.add_argument("--folder", type=Path, help="keep the database in a folder here, and use it again")
    given = parser.parse_args()
    telemetry.configure(stage="benchmark")  # logs go to standard error, the figures alone to standard output
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
        press_room(Path(given.folder or temporary).absolute() / str(given.documents), given.documents) as (
            settings,
            key,
        ),
    ):
        print(json.dumps(measure(settings, Press(given.documents), key)), flush=True)


if __name__ == "__main__":
    main()

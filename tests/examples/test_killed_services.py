"""The pipeline over the newsroom while its services are killed: running again ends as an undisturbed run does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from examples.newsroom import companies, launch
from examples.newsroom.sites import write_sites
from yuqing.database import session
from yuqing.embedded import services
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(1800)]


class Site:
    """A data folder with services of its own, and the stages' commands on it."""

    def __init__(self, folder: Path, names: str) -> None:
        self.folder, self.names = folder, names
        self.variables = {"YUQING_DATA_DIR": str(folder)}

    @property
    def settings(self) -> Settings:
        return load_settings(data_dir=self.folder)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "yuqing", *arguments],
            env=os.environ | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        child = self.start(*arguments)
        out, errors = child.communicate()
        assert child.returncode == 0, errors[-3000:]
        return out

    def watch_newsroom(self, base_urls: dict[str, str]) -> None:
        write_sites(self.folder / "sites", base_urls)
        self.variables["YUQING_CRAWLER__SITES_FOLDERS"] = json.dumps([str(self.folder / "sites")])
        pool = session.engine(self.settings)
        companies.watch_companies(pool, ObjectStore.from_settings(self.settings))
        pool.dispose()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        url = json.loads((self.folder / "services.json").read_text())["database"]["url"]
        with psycopg.connect(url) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload,no-any-return]

    def kill(self, program: str) -> None:
        """SIGKILL to the service whose command line holds `program`."""
        supervisor = services.running_supervisor(self.settings)
        children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        found = [pid for pid in children if program in Path(f"/proc/{pid}/cmdline").read_text()]
        assert len(found) == 1
        os.kill(int(found[0]), signal.SIGKILL)

    def until(self, condition: Callable[[], bool], timeout_s: float = 600) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.2)

    def answers(self, only: Sequence[str]) -> bool:
        found = json.loads(self.start("status", "--json").communicate()[0])["services"]
        return all(found[name]["state"] == "ok" for name in only)

    def documents(self) -> set[tuple[object, ...]]:
        return set(self.rows("SELECT doc_id, content_hash, kind, site FROM documents"))

    def groups(self) -> set[frozenset[object]]:
        # A group's name is its first member's, and which one that is depends on which page was fetched first.
        members = self.rows("SELECT array_agg(doc_id) FROM documents GROUP BY group_id")
        return {frozenset(row[0]) for row in members}  # type: ignore[call-overload]

    def mentions(self) -> set[tuple[object, ...]]:
        return set(
            self.rows("SELECT doc_id, name, spans::text FROM mentions JOIN companies ON company_id = companies.id")
        )


@contextmanager
def _site(folder: Path, names: str = "database,s3") -> Iterator[Site]:
    site = Site(folder, names)
    site.run("up", "--detach", "--only", names)
    try:
        yield site
    finally:
        services.down(site.settings)


def test_s3_and_database_killed_in_the_middle(tmp_path: Path) -> None:
    with launch.running() as base_urls:
        with _site(tmp_path / "undisturbed") as calm:
            calm.watch_newsroom(base_urls)
            calm.run("crawl", "--all")
            calm.run("clean")
            expected = calm.documents(), calm.groups(), calm.mentions()
        with _site(tmp_path / "disturbed") as site:
            site.watch_newsroom(base_urls)
            store = ObjectStore.from_settings(site.settings)
            crawl = site.start("crawl", "--all")
            site.until(lambda: any(True for _ in store.list("raw/")) or crawl.poll() is not None)
            site.kill("weed")
            _, errors = crawl.communicate()
            assert "Traceback" not in errors
            site.until(lambda: site.answers(["s3"]))
            site.run("crawl", "--all")

            clean = site.start("clean")
            site.until(lambda: clean.poll() is not None or bool(site.rows("SELECT FROM staged_articles LIMIT 1")))
            site.kill("postgres")
            clean.communicate()
            site.until(lambda: site.answers(["database"]))
            site.run("clean")
            assert (site.documents(), site.groups(), site.mentions()) == expected
            assert site.rows("SELECT count(*), count(DISTINCT batch_key) FROM ledger") == [
                (len(list(store.list("raw/"))),) * 2
            ]
            assert json.loads(site.run("crawl", "--all", "--json"))["crawled"] == 0


def test_the_language_models_server_killed_in_the_middle(tmp_path: Path) -> None:
    with launch.running() as base_urls, _site(tmp_path / "state", "database,s3,llm") as site:
        site.watch_newsroom(base_urls)
        site.run("crawl", "newsroom-tech")
        site.run("clean")
        analyze = site.start("analyze")
        by_llm = "FROM document_analyses WHERE engine <> 'triage'"
        site.until(lambda: bool(site.rows(f"SELECT {by_llm} LIMIT 1")) or analyze.poll() is not None)
        site.kill("api_server")
        _, errors = analyze.communicate()
        site.until(lambda: site.answers(["llm"]))
        site.run("analyze")
        pairs = "SELECT doc_id, company_id FROM {} ORDER BY 1, 2"
        assert site.rows(pairs.format("verdicts")) == site.rows(pairs.format("mentions"))
        assert site.rows("SELECT count(*) FROM document_analyses") == site.rows(
            "SELECT count(DISTINCT doc_id) FROM mentions"
        )
        lineage = site.rows(
            "SELECT DISTINCT engine, model, adapter, prompt_version FROM verdicts WHERE engine <> 'triage'"
        )
        assert len(lineage) == 1
        before = site.rows("SELECT doc_id, created_at FROM document_analyses ORDER BY 1")
        site.run("analyze")
        assert site.rows("SELECT doc_id, created_at FROM document_analyses ORDER BY 1") == before
        assert "Traceback" not in errors, errors[errors.index("Traceback") :][:3000]

"""The main job on one machine: services, newsroom, watchlist, and every stage in turn, as production runs them.

Each stage is its own process, started by the same command that a CronJob or a pod runs.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from examples.newsroom import companies, launch
from examples.newsroom.progress import Display
from examples.newsroom.sites import write_sites
from examples.newsroom.summary import Summary, agreement, reprint_groups
from yuqing.database import session
from yuqing.embedded import processes, services
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.settings import Settings


class StageFailed(YuqingError):
    """A stage of the demonstration ended with an error; the message has its last lines."""


class _Interrupted(Exception):
    """SIGTERM or Ctrl-C."""


def _yuqing(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "yuqing", *arguments]


@contextmanager
def _services(settings: Settings) -> Iterator[Callable[[], None]]:
    """The embedded services: those that run already, or a child that ends with us.

    Yields a check that raises StageFailed when the child has ended.
    """
    if services.running_supervisor(settings) or not services.needed(settings):
        yield lambda: None
        return
    logs = settings.state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "supervisor.log").open("ab") as log:
        child = processes.start(
            _yuqing("up"), environment={"YUQING_DATA_DIR": str(settings.state)}, output=log.fileno()
        )

    def check() -> None:
        if child.poll() is not None:
            raise StageFailed(f"the services ended:\n{_tail(logs / 'supervisor.log')}", cure=f"see {logs}")

    try:
        yield check
    finally:
        processes.stop(child, signal.SIGTERM, 60)


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _wait_for(settings: Settings, names: list[str], check: Callable[[], None]) -> None:
    deadline = time.monotonic() + settings.embedded.llm_start_timeout_s
    while services.needed(settings, names) and not services.are_ready(settings, names):
        check()
        if time.monotonic() > deadline:
            raise StageFailed(f"{', '.join(names)} did not get ready", cure=f"see {settings.state / 'logs'}")
        time.sleep(0.2)


def _stage(settings: Settings, name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run `yuqing NAME --json` to its end; its answer. Raises StageFailed."""
    arguments = [name, "--all", "--json"] if name == "crawl" else [name, "--json"]
    log = settings.state / "logs" / f"{name}.log"
    with log.open("ab") as errors:
        child = subprocess.Popen(
            _yuqing(*arguments),
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            preexec_fn=processes.die_with_parent(signal.SIGTERM),
        )
        try:
            answer, _ = child.communicate()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    if child.returncode not in (0, 1):
        raise StageFailed(f"`yuqing {name}` ended with status {child.returncode}:\n{_tail(log)}", cure=f"see {log}")
    lines = answer.decode().splitlines()
    if not lines:
        raise StageFailed(f"`yuqing {name}` answered nothing:\n{_tail(log)}", cure=f"see {log}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


@contextmanager
def _newsroom(settings: Settings) -> Iterator[dict[str, str]]:
    """The newsroom, on the ports of the last time: a site that moves would be another site."""
    remembered = settings.state / "newsroom.json"
    try:
        port: int | None = min(int(url.rsplit(":", 1)[1]) for url in json.loads(remembered.read_text()).values())
    except (FileNotFoundError, ValueError):
        port = None
    with launch.running(port) as base_urls:
        remembered.write_text(json.dumps(base_urls))
        yield base_urls


def _count(pool: Engine, table: str) -> int:
    with session.transaction(pool) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def run(settings: Settings, *, once: bool) -> Summary:
    """One pass over the newsroom; without `once` the page is served afterwards until SIGTERM or Ctrl-C.

    Raises YuqingError for a service or a stage that failed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with ExitStack() as stack:
            return _run(settings, stack, once=once)
    except _Interrupted:
        raise SystemExit(130) from None


def _interrupt(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not break the clean-up
    raise _Interrupted


def _run(settings: Settings, stack: ExitStack, *, once: bool) -> Summary:
    started = time.monotonic()
    display = stack.enter_context(Display())
    check = stack.enter_context(_services(settings))
    with display.step("services", "S3 and PostgreSQL"):
        _wait_for(settings, ["database", "s3"], check)
    pool = session.engine(settings)
    stack.callback(pool.dispose)
    store = ObjectStore.from_settings(settings)
    with display.step("newsroom", "three media on 127.0.0.1"):
        base_urls = stack.enter_context(_newsroom(settings))
        watched = companies.watch_companies(pool, store)
    sites = settings.state / "sites"
    write_sites(sites, base_urls)
    environment = {
        "YUQING_DATA_DIR": str(settings.state),
        "YUQING_CRAWLER__SITES_FOLDERS": json.dumps([str(sites)]),
    }
    with display.step("crawl", f"new articles that may name {watched} watched companies"):
        crawled = _stage(settings, "crawl", environment)
    with display.step("clean", "main text, reprints, mentions (Spark)"):
        # A round this small would be cleaned without Spark, as the transcripts' is below; here all parts are to be seen.
        cleaned = _stage(settings, "clean", environment | {"YUQING_CLEANING__SPARK_FROM_BYTES": "0"})
    with display.step("transcribe", "recordings (Whisper)"):
        transcribed = _stage(settings, "transcribe", environment)
    with display.step("clean again", "the transcripts (so few need no Spark)"):
        again = _stage(settings, "clean", environment)
    with display.step("language model", "vLLM loads its weights"):
        _wait_for(settings, ["llm"], check)
    verdicts = _count(pool, "verdicts")
    with display.step("analyze", "sentiment, risk and evidence", lambda: _count(pool, "document_analyses")):
        analysed = _stage(settings, "analyze", environment)
    agreed, compared = agreement(pool, base_urls)
    summary = Summary(
        crawled=crawled["crawled"],
        fetched_js=crawled["fetched_js"],
        cleaned=cleaned["cleaned"] + again["cleaned"],
        quarantined=crawled["quarantined"] + cleaned["quarantined"] + again["quarantined"],
        duplicates=cleaned["duplicates"] + again["duplicates"],
        reprint_groups=reprint_groups(pool),
        transcribed=transcribed["transcribed"],
        analysed=sum(analysed.get(outcome, 0) for outcome in ("analysed", "triaged", "inherited")),
        verdicts=_count(pool, "verdicts") - verdicts,
        agreement=round(agreed / compared, 3) if compared else None,
        seconds=round(time.monotonic() - started, 1),
    )
    display.close()
    display.show(summary, compared)
    if not once:
        _serve(settings, environment)
    return summary


def _key(settings: Settings) -> str:
    """The demonstration's API key: made once, kept in a file of mode 0600."""
    path = settings.state / "demo-key"
    if path.exists():
        return path.read_text().strip()
    done = subprocess.run(
        _yuqing("gateway", "create-key", "--team", companies.TEAM, "--name", "demo", "--scope", "analyst", "--json"),
        env=os.environ | {"YUQING_DATA_DIR": str(settings.state)},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise StageFailed(f"no API key could be made: {done.stderr.strip()}")
    key = str(json.loads(done.stdout)["key"])
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
    return key


def _serve(settings: Settings, environment: Mapping[str, str]) -> None:
    from yuqing.embedded import ports

    port = ports.choose(settings.gateway.port)
    key = _key(settings)
    sys.stdout.write(f"\n  page     http://{settings.gateway.host}:{port}/\n  API key  {key}\n\nCtrl-C ends it all.\n")
    sys.stdout.flush()
    child = subprocess.Popen(
        _yuqing("serve", "--port", str(port)),
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=processes.die_with_parent(signal.SIGTERM),
    )
    try:
        if child.wait() != 0:
            raise StageFailed("`yuqing serve` ended")
    finally:
        child.terminate()
        child.wait()

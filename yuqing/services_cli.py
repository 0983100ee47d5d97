"""`yuqing up`, `down` and `status`."""

import json
import sys
import time
from typing import Annotated, Any

import typer

from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings

app = typer.Typer()

_COLOURS = {"database": "36", "s3": "35", "llm": "33"}


def _show(name: str, line: str) -> None:
    prefix = f"\x1b[{_COLOURS.get(name, '37')}m{name:>8}\x1b[0m │ " if sys.stdout.isatty() else f"{name:>8} | "
    sys.stdout.write(f"{prefix}{line}\n")
    sys.stdout.flush()


def _announce(addresses: dict[str, dict[str, Any]]) -> None:
    from yuqing.doctor import without_password

    for name, address in addresses.items():
        _show(name, f"ready at {without_password(address.get('url') or address.get('endpoint') or '')}")


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; return when all answer.")] = False,
    only: Annotated[str, typer.Option(help="Comma-separated: database, s3, llm.")] = "database,s3,llm",
) -> None:
    """Start the embedded services (S3, PostgreSQL, LLM server).

    Runs until Ctrl-C or SIGTERM. A service that a setting points elsewhere is not started.
    """
    from yuqing import telemetry
    from yuqing.embedded import services

    settings = get_settings()
    names = [name.strip() for name in only.split(",") if name.strip()]
    telemetry.configure(settings.telemetry, stage="up")
    if detach:
        _detach(settings, names)
    else:
        telemetry.serve_metrics(settings.telemetry.metrics_port)
        services.up(settings, names, show=_show, when_ready=_announce)


def _detach(settings: Settings, names: list[str]) -> None:
    from rich.console import Console

    from yuqing.embedded import services

    services.needed(settings, names)
    if running := services.running_supervisor(settings):
        raise services.AlreadyRunning(
            f"the services of {settings.state} are already running (process {running})",
            cure="use them, or stop them with `yuqing down`",
        )
    child = services.up_detached(settings, names)
    with Console(stderr=True).status("starting the services"):
        wait_until_answering(settings, names, is_alive=lambda: child.poll() is None)
    typer.echo(f"running in the background (process {child.pid}); stop it with `yuqing down`")


def wait_until_answering(
    settings: Settings, names: list[str], *, is_alive: Any, timeout_s: float | None = None
) -> None:
    """Block until `yuqing up` says that all is ready. Raises YuqingError when it ended or takes too long."""
    from yuqing.embedded import services

    log = settings.state / "logs" / "supervisor.log"
    deadline = time.monotonic() + (timeout_s or settings.embedded.llm_start_timeout_s)
    while not services.are_ready(settings, names):
        if not is_alive():
            lines = log.read_text(errors="replace").splitlines()[-12:] if log.exists() else []
            raise YuqingError("the services did not start:\n    " + "\n    ".join(lines), cure=f"see {log.parent}")
        if time.monotonic() > deadline:
            raise YuqingError("the services are not ready in time", cure=f"see {log.parent}")
        time.sleep(0.2)


@app.command()
def down() -> None:
    """Stop the embedded services."""
    from yuqing.embedded import services

    typer.echo("stopped" if services.down(get_settings()) else "nothing was running")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """What runs, and whether it answers. Exit status 1 when something does not."""
    from yuqing.doctor import service_checks
    from yuqing.embedded import services

    settings = get_settings()
    found = service_checks(settings)
    supervisor = services.running_supervisor(settings)
    if as_json:
        answer = {"supervisor": supervisor, "services": {check.name: check.as_dict() for check in found}}
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        from yuqing.doctor import print_checks

        typer.echo(f"`yuqing up` runs as process {supervisor}" if supervisor else "`yuqing up` does not run here")
        print_checks(found)
    raise typer.Exit(0 if all(check.state == "ok" for check in found) else 1)

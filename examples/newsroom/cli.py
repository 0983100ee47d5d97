"""`yuqing demo`."""

import json
from typing import Annotated

import typer

app = typer.Typer()


@app.callback()
def _group() -> None:
    """Keeps `demo` a command of a group, as the root expects."""


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Exit after the summary; the last line is one JSON object.")
    ] = False,
) -> None:
    """The whole pipeline over the demonstration newsroom, on the services of the settings.

    Starts the embedded services unless they run, serves the newsroom on this machine, crawls, cleans, transcribes and
    analyses it, prints a summary, and serves the page until Ctrl-C.
    """
    from examples.newsroom import demonstration
    from yuqing.settings import get_settings

    summary = demonstration.run(get_settings(), once=once)
    if once:
        typer.echo(json.dumps(summary.as_json(), ensure_ascii=False))

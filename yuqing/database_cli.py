"""`yuqing db`."""

from typing import Annotated

import typer

from yuqing.settings import get_settings

app = typer.Typer(no_args_is_help=True, help="The database's tables.")


@app.callback()
def _group() -> None:
    """The database's tables."""


@app.command()
def upgrade() -> None:
    """Bring the database to the tables that this release needs."""
    from yuqing.database.upgrade import upgrade as run
    from yuqing.endpoints import database_url

    typer.echo(f"the database is at revision {run(database_url(get_settings()))}")


@app.command()
def wait(
    seconds: Annotated[float, typer.Option(min=0, help="Give up after so many seconds.")] = 1800,
) -> None:
    """Wait until the database has the tables that this release needs: another process upgrades it."""
    from yuqing.database.upgrade import wait_for_latest
    from yuqing.endpoints import database_url

    typer.echo(f"the database is at revision {wait_for_latest(database_url(get_settings()), seconds)}")

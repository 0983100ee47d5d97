"""`yuqing db`."""

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

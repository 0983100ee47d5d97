"""`yuqing serve` and `yuqing gateway create-key | revoke-key`."""

import gc
import json
import signal
from datetime import timedelta
from enum import StrEnum
from types import FrameType
from typing import Annotated

import typer

from yuqing.errors import YuqingError
from yuqing.settings import get_settings

app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)

ScopeName = StrEnum("ScopeName", ["viewer", "analyst", "operator", "admin"])


@app.command("serve", hidden=True)  # listed by the root, as `yuqing serve`
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; gateway.host of the settings.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any free one; gateway.port.")] = None,
) -> None:
    """Serve the REST API and the web page until Ctrl-C; requests under way are finished."""
    import uvicorn

    from gateway.app import create_app
    from gateway.listening import listen
    from yuqing import telemetry

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="gateway")
    application = create_app(settings)

    class Server(uvicorn.Server):
        def handle_exit(self, number: int, frame: FrameType | None) -> None:
            application.state.gateway.stopping.set()
            super().handle_exit(number, frame)

    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,  # its lines hold queries; the gateway writes its own, without them
        server_header=False,
        timeout_graceful_shutdown=settings.gateway.shutdown_s,
    )
    address = host or settings.gateway.host
    listener = listen(address, settings.gateway.port if port is None else port)
    telemetry.get_logger("gateway").info("listening", url=f"http://{address}:{listener.getsockname()[1]}/")
    # When all is finished uvicorn raises the signal that it got once more: not as an exception in the middle of its own end.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # What the imports and the routes have made stays: no full collection has to walk through it while requests wait (0.2 s).
    gc.collect()
    gc.freeze()
    Server(config).run(sockets=[listener])


@app.command("create-key")
def create_key(
    team: Annotated[str, typer.Option(help="The team that the key belongs to; made when it does not exist.")],
    name: Annotated[str, typer.Option(help="Whose key it is, or what for.")],
    scope: Annotated[ScopeName, typer.Option(help="What it may do.")] = ScopeName.analyst,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it expires; none: never.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make an API key. It is shown once, now; only its SHA-256 is kept."""
    from gateway.auth import SHOWN_CHARACTERS, digest, new_key
    from gateway.queries.keys import NewKey, store_key
    from yuqing.contracts import now
    from yuqing.database.session import engine, transaction

    if not team.strip() or not name.strip():
        raise YuqingError("a key needs a team and a name", cure="give --team and --name")
    key = new_key()
    expires = now() + timedelta(days=days) if days else None
    record = NewKey(name.strip(), key[:SHOWN_CHARACTERS], digest(key), scope.value, expires)
    pool = engine(get_settings())
    with transaction(pool) as connection:
        key_id = store_key(connection, team.strip(), record)
    pool.dispose()
    if as_json:
        answer = {"id": key_id, "key": key, "prefix": record.prefix, "team": team.strip(), "name": record.name}
        answer |= {"scope": record.scope, "expires_at": expires.isoformat() if expires else None}
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    typer.echo(f"{key}")
    typer.echo(f"team {team.strip()}, scope {record.scope}; this is the only time that it is shown", err=True)


@app.command("revoke-key")
def revoke_key(prefix: Annotated[str, typer.Argument(help="The key's first characters, as `yq_AbCdEfG`.")]) -> None:
    """Revoke a key; its sessions end with it."""
    from gateway.queries.keys import revoke
    from yuqing.database.session import engine, transaction

    pool = engine(get_settings())
    with transaction(pool) as connection:
        count = revoke(connection, prefix)
    pool.dispose()
    if not count:
        raise YuqingError(f"there is no valid key that begins with {prefix}", cure="give its first 10 characters")
    typer.echo(f"revoked: {prefix}…")

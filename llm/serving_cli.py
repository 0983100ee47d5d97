"""`yuqing llm serve`, `ready` and `merge`."""

from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.settings import get_settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8001,
    model: Annotated[
        Path | None, typer.Option(help="A model folder; default: base and adapter of the settings.")
    ] = None,
) -> None:
    """Serve the language model with vLLM (OpenAI-compatible); the API key comes from YUQING_LLM__API_KEY."""
    from llm.serve import serve as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    run(settings, host, port, model)


def ready(
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is.")] = 0,
) -> None:
    """Exit with 0 when the server analyses (what a start-up probe asks), else with 1; the first question warms it up."""
    import time

    from yuqing.embedded.vllm import is_ready
    from yuqing.endpoints import llm_endpoint

    endpoint = llm_endpoint(get_settings())
    deadline = time.monotonic() + timeout
    while not is_ready(endpoint.url, endpoint.api_key, endpoint.model):
        if time.monotonic() >= deadline:
            typer.echo(f"{endpoint.url} does not analyse yet", err=True)
            raise typer.Exit(1)
        time.sleep(1)


def merge() -> None:
    """Merge the adapter that a server would serve now into its base, unless that was done; prints the folder."""
    from llm.merge import base_path, merged_path
    from llm.registry import to_serve

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    adapter = to_serve(settings)
    typer.echo(merged_path(settings, adapter) if adapter else base_path(settings))

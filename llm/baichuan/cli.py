"""`yuqing llm convert-baichuan`."""

from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.settings import get_settings


def convert_baichuan(
    source: Annotated[
        Path, typer.Argument(help="Folder of a Baichuan-7B or Baichuan2-7B checkpoint, or of a LoRA on it.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder to make; one that is there already is checked.")],
) -> None:
    """Convert a Baichuan checkpoint, or a LoRA adapter trained on one, to the layout of LLaMA (docs/baichuan.md)."""
    from llm.baichuan.adapter import convert_adapter, is_adapter
    from llm.baichuan.convert import convert

    telemetry.configure(get_settings().telemetry, stage="llm")
    if is_adapter(source):
        typer.echo(f"{target}: LoRA on {', '.join(convert_adapter(source, target)['target_modules'])}")
        return
    manifest = convert(source, target)
    typer.echo(f"{target}: {manifest['model']}, {manifest['number_type']}, {len(manifest['files'])} files")

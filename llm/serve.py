"""`yuqing llm serve`: make the weights ready, then become vLLM."""

import os
from pathlib import Path
from typing import NoReturn

from llm.merge import served_path
from yuqing.embedded import vllm
from yuqing.errors import NotConfigured
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)


def serve(settings: Settings, host: str, port: int, model: Path | None = None) -> NoReturn:
    """Replace this process by vLLM serving `model` (default: the settings' base and adapter, merged when needed).

    Raises NotConfigured without an API key, VLLMMissing, AdapterError, and what fetching a model raises.
    """
    key = settings.llm.api_key.get_secret_value() if settings.llm.api_key else ""
    if not key:
        raise NotConfigured("the language model's server needs an API key", cure="set YUQING_LLM__API_KEY")
    vllm.interpreter(settings.llm)  # fail before the minutes that merging takes
    folder = model or served_path(settings)
    log.info("serving", model=folder.name, host=host, port=port)
    command = vllm.command(folder, host, port, settings.llm)
    os.execve(command[0], command, os.environ | vllm.environment(key, settings.llm))  # noqa: S606

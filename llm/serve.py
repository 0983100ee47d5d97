"""`yuqing llm serve`: make the weights ready, then become the parent of vLLM."""

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from llm import keeper
from llm.adapters import Adapter, AdapterError, check_base
from llm.merge import base_path, base_sha256, merged_path
from llm.registry import to_serve
from yuqing.embedded import vllm
from yuqing.errors import NotConfigured
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Running:
    """A server that this machine's user started: its process, and the moment of that process's start (clock ticks after boot)."""

    pid: int
    started: str


def plan(
    settings: Settings, host: str, port: int, model: Path | None = None, *, gpu: bool | None = None
) -> tuple[str, list[str]]:
    """What is served, in words, and vLLM's command line. Makes weights ready: converts, merges or fetches what is missing.

    With `model` that folder and nothing else. Raises AdapterError, ObjectStoreAway, VLLMMissing, and what fetching a model raises.
    """
    if model is not None:
        return model.name, vllm.command(model, host, port, settings.llm, gpu=gpu)
    adapter = to_serve(settings)
    if adapter is None:
        return "bare base", vllm.command(base_path(settings), host, port, settings.llm, gpu=gpu)
    if settings.llm.adapter_mode == "merged":
        folder = merged_path(settings, adapter)
        return folder.name, vllm.command(folder, host, port, settings.llm, gpu=gpu)
    check_base(adapter, base_sha256(settings))
    base, beside = base_path(settings), under_its_name(adapter, settings)
    return f"{base.name} with {beside.name}", vllm.command(base, host, port, settings.llm, adapter=beside, gpu=gpu)


def under_its_name(adapter: Adapter, settings: Settings) -> Path:
    """A folder with the adapter's whole name, which the server then tells to whoever asks what it serves.

    Raises AdapterError when its rank is more than llm.max_lora_rank, with which the server was started.
    """
    rank = int(adapter.config.get("r") or 0)
    if rank > settings.llm.max_lora_rank:
        raise AdapterError(
            f"the adapter {adapter.name} has rank {rank}, the server takes {settings.llm.max_lora_rank}",
            cure="raise YUQING_LLM__MAX_LORA_RANK and start the server again",
        )
    if adapter.folder.name == adapter.served_name:
        return adapter.folder.resolve()
    link = settings.cache / "adapters" / "by-name" / adapter.served_name
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    partial.symlink_to(adapter.folder.resolve(), target_is_directory=True)
    partial.replace(link)
    return link


def _note(settings: Settings, port: int) -> Path:
    return settings.state / f"llm-{port}.json"


def _start_of(pid: int) -> str | None:
    """When the process began, as the kernel counts; None when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def running(settings: Settings, port: int) -> Running | None:
    """The server on this port that `serve` became; None when it does not run any more."""
    try:
        found = Running(**json.loads(_note(settings, port).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if _start_of(found.pid) == found.started else None


def serve(settings: Settings, host: str, port: int, model: Path | None = None) -> NoReturn:
    """Become llm/keeper.py with vLLM as its child, serving `model` (default: the settings' base with the active adapter).

    Raises NotConfigured without an API key, and what `plan` raises.
    """
    key = settings.llm.api_key.get_secret_value() if settings.llm.api_key else ""
    if not key:
        raise NotConfigured("the language model's server needs an API key", cure="set YUQING_LLM__API_KEY")
    vllm.interpreter(settings.llm)  # fail before the minutes that merging takes
    what, command = plan(settings, host, port, model)
    log.info("serving", model=what, host=host, port=port)
    settings.state.mkdir(parents=True, exist_ok=True)
    # The keeper has this process's number, by which `yuqing llm sync` asks it to end.
    _note(settings, port).write_text(json.dumps(asdict(Running(os.getpid(), str(_start_of(os.getpid()))))))
    waits = (settings.llm.stop_s, settings.llm.drain_s + settings.llm.stop_s)
    keeping = [sys.executable, "-IS", keeper.__file__, host, str(port), *map(str, waits), *command]
    signal.pthread_sigmask(signal.SIG_BLOCK, keeper.STOPPING)  # it hears what comes until it listens
    os.execve(keeping[0], keeping, os.environ | vllm.environment(key, settings.llm))  # noqa: S606

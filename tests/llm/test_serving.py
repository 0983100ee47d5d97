"""Adapters in the real server: changed at run time without a restart, and merged; the same logits either way."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from llm.analysis.client import LLMClient, Served
from llm.serve import running
from tests.llm.conftest import yuqing
from tests.llm.tiny import save_tiny_model, write_adapter, write_manifest
from tests.own_port import own_port
from yuqing.embedded import ports, processes, vllm
from yuqing.endpoints import llm_endpoint
from yuqing.settings import get_settings, load_settings

pytestmark = [pytest.mark.slow, pytest.mark.service]
KEY = "key-of-the-tests"
IDS = [1, 5, 9, 33, 70, 12, 140, 7, 7, 201] * 8  # more than a block of the prefix cache


def _ask(url: str, path: str, body: dict[str, Any], key: str = KEY) -> httpx.Response:
    return httpx.post(
        f"{url}/{path}", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False
    )


def _told(url: str) -> torch.Tensor:
    """Log-probabilities of the prompt's tokens, from the second on, and of the likeliest tokens after it."""
    body = {"model": "yuqing", "prompt": IDS, "max_tokens": 1, "temperature": 0}
    whole = _ask(url, "completions", body | {"prompt_logprobs": 0}).json()["choices"][0]["prompt_logprobs"]
    rows = [entry[str(token)]["logprob"] for entry, token in zip(whole[1:], IDS[1:], strict=True)]
    # This request may use the prefix cache, the one above may not.
    after = _ask(url, "completions", body | {"logprobs": 5, "return_tokens_as_token_ids": True})
    top = after.json()["choices"][0]["logprobs"]["top_logprobs"][0]
    return torch.tensor(rows + sorted(top.values(), reverse=True)[:5])


def _expected(base: Path, adapter: Path) -> torch.Tensor:
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(plain, adapter).eval()
    with torch.inference_mode():
        rows = model(torch.tensor([IDS])).logits[0].log_softmax(-1)
    return torch.cat([rows[range(len(IDS) - 1), IDS[1:]], rows[-1].topk(5).values])


@contextmanager
def _serving(port: int, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`yuqing llm serve` until the block is left, entered when it analyses."""
    command = [sys.executable, "-m", "yuqing", "llm", "serve", "--port", str(port)]
    with log.open("wb") as output:
        child = processes.start(command, environment=environment, output=output)
    try:
        deadline = time.monotonic() + load_settings().embedded.llm_start_timeout_s
        while not vllm.is_ready(environment["YUQING_LLM__URL"], KEY, "yuqing"):
            assert child.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(1)
        yield child
    finally:
        processes.stop(child, 15, 20)


def _served() -> Served:
    settings = get_settings()

    async def ask() -> Served:
        async with LLMClient(llm_endpoint(settings), settings.llm) as client:
            return await client.served()

    return asyncio.run(ask())


@pytest.mark.timeout(1200)  # two starts of vLLM
def test_adapters_change_in_a_running_server_and_merged_they_say_the_same(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    save_tiny_model(base, 128, "float32")
    write_manifest(base)
    first, second = (write_adapter(tmp_path / name, base, seed) for name, seed in (("first", 1), ("second", 2)))
    expected = {each.served_name: _expected(base, each.folder) for each in (first, second)}
    assert (expected[first.served_name] - expected[second.served_name]).abs().max() > 0.1

    port = own_port()
    url = f"http://{ports.HOST}:{port}/v1"
    given = environment | {
        "YUQING_CACHE_DIR": str(tmp_path / "cache"),
        "YUQING_LLM__BASE": str(base),
        "YUQING_LLM__ADAPTER_MODE": "runtime",
        "YUQING_LLM__API_KEY": KEY,
        "YUQING_LLM__URL": url,
        "YUQING_LLM__MAX_MODEL_LEN": "512",
        "YUQING_LLM__SERVER_OPTIONS": json.dumps(["--dtype", "float32"]),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    settings = get_settings()

    def run(*arguments: str) -> str:
        done = yuqing("llm", *arguments, environment=given)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    names = [run("adapters", "push", str(each.folder)) for each in (first, second)]
    run("adapters", "activate", names[0], "--force", "the first one")
    with _serving(port, given, tmp_path / "runtime.log"):
        started = running(settings, port)
        assert started is not None
        beside = _told(url)
        torch.testing.assert_close(beside, expected[names[0]], rtol=0, atol=1e-4)
        assert _served() == Served("vllm", "base", names[0])
        assert run("sync") == "same"

        run("adapters", "activate", names[1], "--force", "another one")
        assert run("sync") == "loaded"
        torch.testing.assert_close(_told(url), expected[names[1]], rtol=0, atol=1e-4)
        assert _served().adapter == names[1]
        # Its files are not read again with every step.
        cached = settings.cache / "adapters" / names[1]
        cached.rename(tmp_path / "moved")
        torch.testing.assert_close(_told(url), expected[names[1]], rtol=0, atol=1e-4)
        (tmp_path / "moved").rename(cached)

        assert names[0] in run("adapters", "rollback")
        assert run("sync") == "loaded"
        torch.testing.assert_close(_told(url), beside, rtol=0, atol=1e-5)
        assert running(settings, port) == started
        strange = {"lora_name": "strange", "lora_path": str(first.folder)}
        assert _ask(url, "load_lora_adapter", strange, key="another").status_code == 401

    given["YUQING_LLM__ADAPTER_MODE"] = "merged"
    with _serving(port, given, tmp_path / "merged.log") as child:
        torch.testing.assert_close(_told(url), beside, rtol=0, atol=1e-4)
        assert _served().adapter == names[0]
        run("adapters", "activate", names[1], "--force", "another one")
        assert run("sync") == "restarting"
        child.wait(120)  # whoever keeps it running starts it again, with the weights that lie ready
    assert [path for path in (settings.cache / "models").glob(f"*+{names[1]}") if path.is_dir()]

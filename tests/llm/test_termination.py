"""SIGTERM: the worker finishes what is under way and leaves the rest; so does the server."""

import re
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import Engine

from tests.kubelet import ended, first_process, start, terminate
from tests.llm.conftest import put_news
from tests.llm.scripted import scripted_server
from tests.llm.test_outages import _count, _news
from tests.own_port import own_port
from yuqing.embedded import ports, vllm
from yuqing.settings import load_settings

pytestmark = pytest.mark.service


def test_the_analysis_worker_finishes_what_is_under_way(
    environment: dict[str, str], database: Engine, tmp_path: Path
) -> None:
    put_news(database, _news(8))
    with scripted_server() as server, (tmp_path / "log").open("wb") as log:
        server.delay_s = 1
        given = {
            **environment,
            "YUQING_LLM__URL": server.url,
            "YUQING_LLM__CONCURRENCY": "2",
            "YUQING_LLM__TRIAGE": "false",
        }
        process = start(["analyze", "--follow"], given, log)
        deadline = time.monotonic() + 120
        while _count(database, "document_analyses") < 2:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)
        assert terminate(process, 90) == 0, (tmp_path / "log").read_text()
        done = _count(database, "document_analyses")
        assert 2 <= done < 8
        # Nothing hangs on a worker that is gone: what was not begun still waits.
        assert _count(database, "procrastinate_jobs WHERE status = 'doing'") == 0
        assert _count(database, "procrastinate_jobs WHERE status = 'todo'") == 8 - done
        process = start(["analyze", "--follow"], given, log)
        while _count(database, "document_analyses") < 8:
            assert process.poll() is None and time.monotonic() < deadline + 120, (tmp_path / "log").read_text()
            time.sleep(0.05)
        assert terminate(process, 90) == 0  # with nothing to do


def _long_answer(url: str, said: list[dict[str, Any]]) -> None:
    body = {"model": "yuqing", "prompt": "天气", "max_tokens": 24, "min_tokens": 24, "temperature": 0}
    answer = httpx.post(
        f"{url}/completions", json=body, headers={"Authorization": "Bearer key"}, timeout=300, trust_env=False
    )
    said.append({"status": answer.status_code, **answer.json()})


def _metrics(url: str) -> str:
    return httpx.get(f"{url.removesuffix('/v1')}/metrics", timeout=30, trust_env=False).text


@pytest.mark.slow
def test_the_server_ends_while_it_loads_and_while_it_answers(tmp_path: Path) -> None:
    """In the pod's grace period, by itself, and nothing of it stays; what it was asked before is answered."""
    port, settings = own_port(), load_settings()
    url = f"http://{ports.HOST}:{port}/v1"
    drain_s = 240  # some tokens on a machine that does much else
    given = {
        "YUQING_LLM__API_KEY": "key",
        "YUQING_LLM__DRAIN_S": str(drain_s),
        "YUQING_DATA_DIR": str(tmp_path),
    }
    for loaded in (False, True):
        log, said = tmp_path / f"{loaded}.log", list[dict[str, Any]]()
        with log.open("wb") as output:
            process = start(["llm", "serve", "--port", str(port)], given, output, first=not loaded)
            deadline = time.monotonic() + settings.embedded.llm_start_timeout_s
            with ended(process):
                while not (
                    vllm.is_ready(url, "key", settings.llm.model) if loaded else "EngineCore" in log.read_text()
                ):
                    assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                    time.sleep(0.5)
                children = psutil.Process(first_process(process)).children(recursive=True)
                assert len(children) >= 3, "the guard, the server, its engine"
                if loaded:
                    asking = threading.Thread(target=_long_answer, args=(url, said))
                    asking.start()
                    while not re.search(r"^vllm:num_requests_running\{.*\} 1", _metrics(url), re.MULTILINE):
                        assert asking.is_alive(), said
                        time.sleep(0.1)
                    assert terminate(process, drain_s + settings.llm.stop_s + 5) == 0, log.read_text()
                    asking.join()
                    assert said[0]["status"] == 200 and said[0]["choices"][0]["finish_reason"] == "length", said
                else:
                    assert terminate(process, settings.llm.stop_s + 5) == 143, log.read_text()
        assert not [child for child in children if child.is_running()], "they hold the memory of the next server"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models", trust_env=False)

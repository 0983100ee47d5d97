"""SIGTERM: the worker finishes what is under way and leaves the rest; the server ends."""

import time
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine

from tests.kubelet import ended, start, terminate
from tests.llm.conftest import put_news
from tests.llm.scripted import scripted_server
from tests.llm.test_outages import _count, _news
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


@pytest.mark.slow
def test_the_server_ends_while_it_loads_and_while_it_answers(tmp_path: Path) -> None:
    port, settings = ports.choose(28301), load_settings()
    url, key = f"http://{ports.HOST}:{port}/v1", {"YUQING_LLM__API_KEY": "key"}
    for loaded in (False, True):
        with (tmp_path / f"{loaded}.log").open("wb") as log:
            given = {**key, "YUQING_DATA_DIR": str(tmp_path)}
            process = start(["llm", "serve", "--port", str(port)], given, log, first=False)
            deadline = time.monotonic() + settings.embedded.llm_start_timeout_s
            with ended(process):
                # It answers; or its weights are being read, by a process of its own.
                while not (vllm.is_ready(url, "key", settings.llm.model) if loaded else _children(process.pid)):
                    assert process.poll() is None and time.monotonic() < deadline, _last(tmp_path / f"{loaded}.log")
                    time.sleep(0.5)
                children = _children(process.pid)
                terminate(process, 120)
            _, alive = psutil.wait_procs(children, timeout=60)
            assert children and not alive, "they hold the memory, and the next server starts without"
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/models", trust_env=False)


def _children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _last(log: Path) -> str:
    return log.read_text()[-3000:]

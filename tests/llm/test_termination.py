"""SIGTERM: the worker finishes what is under way and leaves the rest; the server ends."""

import time
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import Engine

from tests.kubelet import ended, first_process, start, terminate
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
    """vLLM 0.32 does not heed SIGTERM while it loads: then nothing is under way, and the kubelet kills it. Nothing of it stays."""
    port, settings = ports.choose(28301), load_settings()
    url = f"http://{ports.HOST}:{port}/v1"
    given = {"YUQING_LLM__API_KEY": "key", "YUQING_DATA_DIR": str(tmp_path)}
    for loaded in (False, True):
        log = tmp_path / f"{loaded}.log"
        with log.open("wb") as output:
            # The container's end takes all of its processes along. One that answers ends by itself, as a child of tini.
            process = start(["llm", "serve", "--port", str(port)], given, output, first=not loaded)
            deadline = time.monotonic() + settings.embedded.llm_start_timeout_s
            with ended(process):
                while not (
                    vllm.is_ready(url, "key", settings.llm.model) if loaded else "EngineCore" in log.read_text()
                ):
                    assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                    time.sleep(0.5)
                children = psutil.Process(first_process(process)).children(recursive=True)
                if loaded:
                    terminate(process, 60)  # the pod has 120 s, of which its preStop takes 60
        _, alive = psutil.wait_procs(children, timeout=60)
        assert children and not alive, "they hold the memory, and the next server starts without"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models", trust_env=False)

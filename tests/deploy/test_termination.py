"""SIGTERM, as the kubelet sends it: every command that a container runs has a test that it ends within the pod's grace period."""

import ast
import socket
import time
from pathlib import Path

import psutil
import pytest

from tests.deploy.rendered import OVERLAYS, ROOT, pods
from tests.kubelet import ended, start, terminate

# What runs long, by the first words of its arguments, and the tests that end it in the middle of its work.
LONG = {
    ("crawl",): (
        "crawler/test_crawl.py::test_sigterm_writes_what_was_collected",
        "crawler/test_crawl.py::test_sigterm_while_a_site_is_being_prepared",
        "crawler/test_crawl.py::test_sigterm_does_not_wait_for_a_page_that_never_comes",
        "crawler/test_crawl.py::test_sigterm_is_heard_while_the_crawl_is_opening",
        "crawler/media/test_crawled.py::test_a_stopped_crawl_keeps_the_pages_whose_recordings_are_on_their_way",
    ),
    ("clean",): ("cleaning/test_termination.py::test_a_clean_ends_in_time_and_nothing_is_lost",),
    # Spark's own process; the driver removes its executors, and their pods belong to the driver's.
    ("executor",): (
        "cleaning/test_termination.py::test_a_clean_ends_in_time_and_nothing_is_lost",
        "cleaning/test_kubernetes.py::test_the_driver_makes_executors_and_asks_for_nothing_that_it_may_not",
    ),
    ("transcribe", "--follow"): ("asr/test_termination.py::test_the_worker_finishes_its_recording",),
    ("analyze", "--follow"): ("llm/test_termination.py::test_the_analysis_worker_finishes_what_is_under_way",),
    ("serve",): ("gateway/test_serve.py::test_serve_answers_and_finishes_requests_before_it_ends",),
    ("llm", "serve"): ("llm/test_termination.py::test_the_server_ends_while_it_loads_and_while_it_answers",),
}
# What waits for services or ends by itself: it ends below while a service keeps it waiting. Started again it begins anew, or
# goes on, as after a kill (tests/yuqing/test_backup.py, test_retention.py, tests/crawler/test_seen.py).
WAITING = (
    ("llm", "sync", "--follow"),
    ("llm", "merge"),
    ("models", "fetch"),
    ("db", "wait"),
    ("db", "upgrade"),
    ("backup",),
    ("retention", "--apply"),
    ("seen", "compact", "--all"),
)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_command_of_a_container_has_its_test(name: str) -> None:
    run = {
        tuple(container["args"])
        for pod in pods(name)
        for container in pod.containers
        if "yuqing/" in container["image"]
    }
    assert len(run) >= 15
    for arguments in run:
        known = [words for words in (*LONG, *WAITING) if arguments[: len(words)] == words]
        assert len(known) == 1, f"no test ends `yuqing {' '.join(arguments)}`"
    for words in (*LONG, *WAITING):
        assert any(arguments[: len(words)] == words for arguments in run) or words == ("llm", "merge"), words


@pytest.mark.parametrize("test", sorted({test for tests in LONG.values() for test in tests}))
def test_the_tests_are_there(test: str) -> None:
    file, _, function = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text())
    assert function in {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}


@pytest.mark.parametrize("arguments", WAITING, ids=" ".join)
def test_a_command_that_waits_for_a_service_ends(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """S3 and PostgreSQL take the connection, and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent, (tmp_path / "log").open("wb") as log:
        port = silent.getsockname()[1]
        given = {
            "YUQING_DATA_DIR": str(tmp_path / "data"),
            "YUQING_CACHE_DIR": str(tmp_path / "cache"),
            "YUQING_DATABASE__URL": f"postgresql://a:b@127.0.0.1:{port}/c",
            "YUQING_S3__ENDPOINT": f"http://127.0.0.1:{port}",
            "YUQING_S3__ACCESS_KEY": "a",
            "YUQING_S3__SECRET_KEY": "b",
            "YUQING_RETENTION__RAW_DAYS": "30",
            "YUQING_LLM__URL": f"http://127.0.0.1:{port}/v1",
        }
        wanted = ["whisper-base"] if arguments[0] == "models" else []
        with ended(start([*arguments, *wanted], given, log)) as process:
            deadline = time.monotonic() + 120
            while not connections(process.pid, port):
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.05)
            assert terminate(process, 30) == 143, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def connections(pid: int, port: int) -> bool:
    """Whether the process or one of its children has an open connection to the port."""
    found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return any(item.raddr and item.raddr.port == port for process in found for item in process.net_connections())

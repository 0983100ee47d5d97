"""SIGTERM of the clean, on Spark and without: it ends in time, and the next run goes on as if nothing had been."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from cleaning.job import clean_pending
from tests.cleaning.conftest import WriteBatch
from tests.cleaning.test_faults import count, forget, snapshot, write_batches
from tests.kubelet import ended, first_process, start, terminate
from yuqing.objects import ObjectStore
from yuqing.settings import Settings


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.parametrize("spark_from_bytes", [0, 2**30])
def test_a_clean_ends_in_time_and_nothing_is_lost(
    settings: Settings,
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spark_from_bytes: int,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 8)
    clean_pending(settings)
    undisturbed = snapshot(database, store)
    forget(database, store)
    monkeypatch.delenv("JAVA_HOME", raising=False)  # another test's
    given = {
        **environment,
        "YUQING_CLEANING__SPARK_FROM_BYTES": str(spark_from_bytes),
        "YUQING_CLEANING__ARCHIVE_CLASSES": "true",  # which a run that is ended does not wait for
        "YUQING_CACHE_DIR": str(tmp_path / "cache"),
    }
    with (tmp_path / "log").open("wb") as log, ended(start(["clean"], given, log)) as process:
        deadline = time.monotonic() + 400
        while count(database, "staged_articles") == 0:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.02)
        children = psutil.Process(first_process(process)).children(recursive=True)
        assert bool(children) == (spark_from_bytes == 0), "Spark's JVM and its Python workers"
        assert terminate(process, 60) == 143, (tmp_path / "log").read_text()[-3000:]
        _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    assert not list((tmp_path / "cache").rglob("*.jsa*"))
    clean_pending(settings)
    assert snapshot(database, store) == undisturbed

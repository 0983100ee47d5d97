"""Hadoop's client in place of boto3. Its S3 jars are in no package index: what knows S3 is tested alone, the rest on folders."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cleaning import s3a
from cleaning.job import clean_pending
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from tests.cleaning.test_faults import forget, snapshot, write_batches
from yuqing import ledger
from yuqing.endpoints import S3Endpoint
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings


def test_hadoop_gets_the_settings_of_s3() -> None:
    endpoint = S3Endpoint("http://127.0.0.1:8333", "news", "/team/", "cn-north-1", "key", "secret", attempts=7)
    assert s3a.root_of(endpoint) == "s3a://news/team"
    assert s3a.options(endpoint) == {
        "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:8333",
        "spark.hadoop.fs.s3a.endpoint.region": "cn-north-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.access.key": "key",
        "spark.hadoop.fs.s3a.secret.key": "secret",
        "spark.hadoop.fs.s3a.attempts.maximum": "7",
        "spark.hadoop.fs.s3a.multipart.size": str(16 * 2**20),
    }
    # AWS: its own address, and the credentials of the pod.
    aws = s3a.options(S3Endpoint(None, "news", "", "cn-north-1", "", ""))
    assert not any(word in name for name in aws for word in ("endpoint.url", "key", "path", "ssl"))
    assert s3a.root_of(S3Endpoint(None, "news", "", "cn-north-1", "", "")) == "s3a://news"
    assert load_settings().cleaning.s3_access == "boto3"


@pytest.fixture
def on_hadoop(on_spark: Settings) -> Settings:
    """Settings with which every round goes through Hadoop's client."""
    return on_spark.model_copy(update={"cleaning": on_spark.cleaning.model_copy(update={"s3_access": "s3a"})})


@pytest.mark.service
def test_without_the_jars_one_error_names_the_cure(
    on_hadoop: Settings, database: Engine, write_batch: WriteBatch
) -> None:
    write_batch("01A", [raw(1, page("消息", article_text(1)))])
    with pytest.raises(s3a.S3aMissing, match="its Java has no class for s3a") as caught:
        clean_pending(on_hadoop)
    assert "org.apache.hadoop:hadoop-aws:3." in (caught.value.cure or "")
    assert "YUQING_CLEANING__S3_ACCESS=boto3" in (caught.value.cure or "")
    with database.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM ledger").scalar_one() == 0


@pytest.mark.service
def test_both_ways_leave_the_same(
    on_hadoop: Settings,
    settings: Settings,
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 3)
    write_batch("01X", [], data=b"this is not gzip")
    write_batch("01Y", [])
    for item in store.list("raw/"):
        (tmp_path / item.key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / item.key).write_bytes(store.get(item.key))
    gone = write_batch("01Z", [raw(99, page("消失的消息", article_text(99)))])
    pending = list(store.list("raw/"))
    store.delete(gone)
    monkeypatch.setattr(ledger, "pending_batches", lambda *_: pending)
    clean_pending(settings)
    by_boto3 = snapshot(database, store)
    objects = {item.key: store.get(item.key) for prefix in ("clean/", "quarantine/") for item in store.list(prefix)}
    assert len(objects) == 10  # of six batches: one is empty and two have nothing but a reason
    forget(database, store)

    monkeypatch.setattr(s3a, "root_of", lambda _: tmp_path.as_uri())
    clean_pending(on_hadoop)
    by_hadoop = snapshot(database, store)
    assert by_hadoop.pop("objects") == {}
    errors = [row[-1] for row in by_hadoop["ledger"] if row[-1]]
    assert any("the batch is gone" in error for error in errors)
    del by_boto3["objects"]
    for found in (by_boto3, by_hadoop):  # the two name S3's address of what is gone, or its key
        found["ledger"] = [row[:4] for row in found["ledger"]]
    assert by_hadoop == by_boto3
    # Hadoop keeps a checksum beside each file of a folder.
    files = {path for folder in ("clean", "quarantine") for path in (tmp_path / folder).rglob("*") if path.is_file()}
    written = {str(path.relative_to(tmp_path)): path.read_bytes() for path in files if path.suffix != ".crc"}
    name = "quarantine/cleaning/dt=2024-06-01/01Z.jsonl.gz"
    assert b"" not in (written.pop(name), objects.pop(name))
    assert written == objects

"""The archive of Java's classes: which file it is, how it is written, and that a run uses it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cleaning import class_archive
from cleaning.java import java_program
from tests.cleaning.conftest import WriteBatch, article_text, page, raw


def test_another_java_has_another_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "release").write_text('JAVA_VERSION="17"\n')
    of_one, of_two = (class_archive.archive(tmp_path / name / "bin" / "java", tmp_path) for name in ("one", "two"))
    assert of_one != of_two
    assert class_archive.archive(tmp_path / "one" / "bin" / "java", tmp_path) == of_one
    (tmp_path / "one" / "release").write_text('JAVA_VERSION="21.0.1"\n')
    assert class_archive.archive(tmp_path / "one" / "bin" / "java", tmp_path) != of_one


def test_the_archive_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "spark-1.jsa"
    options = class_archive.java_options(path)
    unfinished = class_archive.written_at_end(options)
    assert unfinished is not None and unfinished.with_suffix("") == path
    class_archive.keep(unfinished, subprocess.Popen(["sh", "-c", f"sleep 0.2; echo classes > '{unfinished}'"]))
    assert path.read_text() == "classes\n" and not unfinished.exists()
    assert class_archive.written_at_end(class_archive.java_options(path)) is None


def test_what_killed_runs_left_is_removed_and_what_is_used_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    unfinished = tmp_path / f"spark-1.jsa.{os.getpid()}"
    used, unused = tmp_path / "spark-2.jsa", tmp_path / "spark-3.jsa"
    left, written = tmp_path / f"spark-2.jsa.{ended.pid}", tmp_path / f"spark-2.jsa.{os.getpid()}"
    for path in (unfinished, used, unused, left, written):
        path.touch()
    os.utime(unused, (time.time() - 40 * 24 * 3600,) * 2)
    class_archive.keep(unfinished, subprocess.Popen(["true"]))
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "spark-1.jsa", used, written])


def test_a_java_that_does_not_end_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_archive, "_WRITING_S", 0.1)
    unfinished = tmp_path / f"spark-1.jsa.{os.getpid()}"
    unfinished.touch()
    with subprocess.Popen(["sleep", "60"]) as java:
        class_archive.keep(unfinished, java)
        java.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.service
def test_the_first_run_on_spark_keeps_the_classes_and_the_next_one_takes_them(
    environment: dict[str, str], write_batch: WriteBatch, tmp_path: Path
) -> None:
    cache = tmp_path / "the cache"
    given = {
        **os.environ,
        **environment,
        "YUQING_CACHE_DIR": str(cache),
        "YUQING_CLEANING__SPARK_FROM_BYTES": "0",
    }
    archive = class_archive.archive(java_program(), cache / "java")
    for number in (1, 2):
        write_batch(f"part-{number}", [raw(number, page(f"第{number}篇新闻的标题", article_text(number)))])
        done = subprocess.run(
            [sys.executable, "-m", "yuqing", "clean", "--json"], env=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and '"cleaned": 1' in done.stdout, done.stderr
        assert ("Java's classes are kept" in done.stderr) == (number == 1)
        assert "could not be kept" not in done.stderr
        assert [path for path in (cache / "java").iterdir() if path.suffix != ""] == [archive]
        given["JAVA_TOOL_OPTIONS"] = "-Xshare:on"  # an archive that it does not accept keeps Java from starting

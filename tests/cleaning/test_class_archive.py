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


def a_java(home: Path) -> Path:
    """What the archive's name looks at of a Java."""
    for folder in ("bin", "lib/server"):
        (home / folder).mkdir(parents=True)
    (home / "lib" / "server" / "classes.jsa").touch()
    (home / "release").write_text('JAVA_VERSION="17"\n')
    return home / "bin" / "java"


def unfinished_of(path: Path) -> Path:
    """Where a Java that is started now would write the archive."""
    options = class_archive.java_options(path)
    return Path(options.split('"')[1].removeprefix("-XX:ArchiveClassesAtExit="))


def test_another_java_has_another_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = a_java(tmp_path / "one"), a_java(tmp_path / "two")
    assert class_archive.archive(one, tmp_path) != (other := class_archive.archive(two, tmp_path))
    assert class_archive.archive(two, tmp_path) == other
    (tmp_path / "two" / "release").write_text('JAVA_VERSION="21.0.1"\n')
    assert class_archive.archive(two, tmp_path) != other
    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    assert class_archive.archive(one, tmp_path) is None


def test_a_java_without_an_archive_of_its_own_classes_writes_none(tmp_path: Path) -> None:
    program = a_java(tmp_path)
    (tmp_path / "lib" / "server" / "classes.jsa").unlink()
    assert class_archive.archive(program, tmp_path) is None


def test_the_archive_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "spark-1.jsa"
    unfinished = unfinished_of(path)
    assert unfinished != unfinished_of(path), "two runs that begin at once"
    program = "import sys, time; time.sleep(0.3); open(sys.argv[1].split('=')[1], 'w').write('classes')"
    java = subprocess.Popen([sys.executable, "-c", program, f"-XX:ArchiveClassesAtExit={unfinished}"])
    while (found := class_archive.written_by(java.pid)) is None and java.poll() is None:
        time.sleep(0.01)  # until it is more than a copy of this process
    assert found == unfinished
    class_archive.keep(unfinished, java)
    assert path.read_text() == "classes" and list(tmp_path.iterdir()) == [path]
    assert class_archive.java_options(path).startswith(f'"-XX:SharedArchiveFile={path}"')
    assert class_archive.written_by(java.pid) is None, "it is gone"


@pytest.mark.parametrize("status", [0, 1])
def test_a_java_that_writes_none_is_not_asked_again(tmp_path: Path, status: int) -> None:
    path = tmp_path / "spark-1.jsa"
    unfinished = unfinished_of(path)
    if status:
        unfinished.write_text("half of it")
    class_archive.keep(unfinished, subprocess.Popen(["sh", "-c", f"exit {status}"]))
    assert list(tmp_path.iterdir()) == [path] and class_archive.java_options(path) == ""


def test_a_java_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_archive, "_WRITING_S", 0.2)
    unfinished = unfinished_of(tmp_path / "spark-1.jsa")
    unfinished.touch()
    java = subprocess.Popen(["sleep", "60"])
    class_archive.keep(unfinished, java)
    assert java.returncode == -9 and list(tmp_path.iterdir()) == []


def test_what_killed_runs_left_is_removed_and_what_is_used_stays(tmp_path: Path) -> None:
    ages = {"spark-2.jsa": 20 * 24 * 3600, "spark-3.jsa": 40 * 24 * 3600, "spark-2.jsa.ab": 60, "spark-2.jsa.cd": 7200}
    for name, age in ages.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    class_archive.java_options(tmp_path / "spark-1.jsa")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spark-2.jsa", "spark-2.jsa.ab"]


@pytest.mark.slow
@pytest.mark.service
def test_the_first_run_on_spark_keeps_the_classes_and_the_next_one_takes_them(
    environment: dict[str, str], write_batch: WriteBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)  # another test's
    cache = tmp_path / "the cache"
    archive = class_archive.archive(java_program(), cache / "java")
    if archive is None:
        pytest.skip("this Java carries no archive of its own classes")
    given = {
        **os.environ,
        **environment,
        "YUQING_CACHE_DIR": str(cache),
        "YUQING_CLEANING__SPARK_FROM_BYTES": "0",
        "YUQING_CLEANING__ARCHIVE_CLASSES": "true",
    }
    for number in (1, 2):
        write_batch(f"part-{number}", [raw(number, page(f"第{number}篇新闻的标题", article_text(number)))])
        command = [sys.executable, "-m", "yuqing", "clean", "--json"]
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and '"cleaned": 1' in done.stdout, done.stderr
        assert ("Java's classes are kept" in done.stderr) == (number == 1)
        assert list((cache / "java").glob("spark-*")) == [archive] and archive.stat().st_size > 2**20
        if number == 1:
            os.utime(archive, (time.time() - 3600,) * 2)
            given["JAVA_TOOL_OPTIONS"] = "-Xshare:on"  # an archive that it does not accept keeps Java from starting
    assert time.time() - archive.stat().st_mtime < 1800, "the second run asked for it"

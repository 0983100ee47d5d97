"""The interpreter of Spark's Python processes, and what they have to import before they work."""

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyspark
from pyspark import cloudpickle
from pyspark.sql.types import StructType

from cleaning.python import local_python
from cleaning.s3source import raw_batches
from cleaning.stage import clean_batches

ZIP = Path(pyspark.__file__).parent / "python" / "lib" / "pyspark.zip"


def test_installed_modules_come_before_sparks_zip_and_other_paths_stay(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder" / "of_a_folder.py").touch()
    assert ZIP.is_file()
    paths = os.pathsep.join([str(ZIP), str(tmp_path / "a folder"), str(Path(__file__).parents[2])])
    program = "import cleaning, of_a_folder, pyspark, sys; print(pyspark.__file__, *sys.argv[1:], sep=chr(10))"
    given = {**os.environ, "PYTHONPATH": paths, "LOCAL_PYTHON": sys.executable}
    done = subprocess.run(
        [local_python(tmp_path), "-c", program, "a b", "c"], env=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [pyspark.__file__, "a b", "c"]


def test_planning_imports_nothing_of_what_the_tasks_do() -> None:
    work = partial(clean_batches, companies=[], settings=None, destination=None)  # type: ignore[arg-type]
    source = raw_batches("some", StructType(), ["one", "two"], pickle.dumps(work))
    program = (
        "import pickle, sys; source = pickle.load(sys.stdin.buffer); reader = source({}).reader(None); "
        "print(source.name(), [part.value for part in reader.partitions()], "
        "sorted({name.split('.')[0] for name in sys.modules} & {'boto3', 'cleaning', 'pydantic', 'sqlalchemy', 'yuqing'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=cloudpickle.dumps(source), capture_output=True, check=True
    )
    assert done.stdout.decode().split() == ["some", "['one',", "'two']", "[]"]

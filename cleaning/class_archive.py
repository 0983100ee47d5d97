"""Java's classes as a Spark driver uses them, in a file that the next driver maps into memory (class data sharing).

Spark loads and checks some 15,000 classes before there is any work. From the archive a start takes half of Java's CPU time
(benchmarks/clean.py: spark_start_cpu_s); it has 160 MB.
"""

import os
import re
import subprocess
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from yuqing.telemetry import get_logger

log = get_logger("cleaning")

_WRITING_S = 120  # takes some 10 CPU-seconds
_UNUSED_S = 30 * 24 * 3600
_WRITES = re.compile('"-XX:ArchiveClassesAtExit=([^"]+)"')


def archive(program: Path, folder: Path) -> Path:
    """Where the archive of this Java and this Spark is, or would be: Java refuses one of other files.

    program: the `java` that runs; folder: where archives are kept.
    """
    seen = sha256()
    home = program.resolve().parents[1]
    spark = find_spec("pyspark")
    assert spark is not None and spark.origin is not None
    jars = Path(spark.origin).parent / "jars"
    for path in (home / "release", home / "lib" / "modules", *sorted(jars.glob("*.jar"))):
        with suppress(OSError):
            status = path.stat()
            seen.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return folder / f"spark-{seen.hexdigest()[:16]}.jsa"


def java_options(path: Path) -> str:
    """Java's options, as Spark takes them: to use the archive when there is one, else to write it when Java ends."""
    # What is wrong with an archive is no concern of a run, which does without it.
    quiet = "-Xlog:disable -Xlog:all=error:stderr"
    if path.exists():
        with suppress(OSError):
            os.utime(path)
        return f'"-XX:SharedArchiveFile={path}" {quiet}'
    path.parent.mkdir(parents=True, exist_ok=True)
    # One file a process: two may begin at once.
    return f'"-XX:ArchiveClassesAtExit={path}.{os.getpid()}" {quiet}'


def written_at_end(options: str) -> Path | None:
    """The file that a Java with these options writes when it ends, if any."""
    found = _WRITES.search(options)
    return Path(found[1]) if found else None


def keep(unfinished: Path, java: "subprocess.Popen[bytes]") -> None:
    """Wait for a Java that has been told to end, and put the archive that it writes in its place.

    What runs that were killed left of theirs is removed, and archives that nobody has used for a month. Never fails: without an
    archive the next start is only slower.
    """
    path = unfinished.with_suffix("")
    try:
        log.info("Java's classes are kept, for faster starts", file=str(path))
        java.wait(_WRITING_S)
        if unfinished.exists():  # a Java that carries no archive of its own classes writes none
            unfinished.replace(path)
        for other in path.parent.glob("spark-*.jsa*"):
            if not _is_needed(other):
                other.unlink(missing_ok=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("Java's classes could not be kept", file=str(path), reason=str(error))
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _is_needed(path: Path) -> bool:
    """Whether a process that still runs will finish this archive, or somebody has used it within a month."""
    writer = path.suffix.removeprefix(".")
    if writer.isdigit():
        return Path(f"/proc/{writer}").exists()
    return time.time() - path.stat().st_mtime < _UNUSED_S

"""Java's classes as a Spark driver uses them, in a file that the next driver maps into memory (class data sharing).

Spark loads and checks some 15,000 classes before there is any work. From the archive, of 160 MB, Java's part of a start takes
half of the CPU time (docs/adr/0028).
"""

import os
import secrets
import subprocess
import time
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from yuqing.telemetry import get_logger

log = get_logger("cleaning")

_WRITING_S = 120  # takes some 20 s
_ABANDONED_S, _UNUSED_S = 3600, 30 * 24 * 3600
_WRITES = "-XX:ArchiveClassesAtExit="
# With these set it is another Spark than the package's, or its class path has a folder, of which Java archives nothing.
_OTHER_SPARK = ("SPARK_HOME", "SPARK_CONF_DIR", "HADOOP_CONF_DIR", "YARN_CONF_DIR")


def archive(program: Path, folder: Path) -> Path | None:
    """Where the archive of this Java and this Spark is, or would be; None where Java could not write or would not take one.

    program: the `java` that runs; folder: where archives are kept.
    """
    home = program.resolve().parents[1]
    # Java adds to the archive of its own classes, which some builds do not carry.
    if not list((home / "lib" / "server").glob("classes*.jsa")) or any(name in os.environ for name in _OTHER_SPARK):
        return None
    spark = find_spec("pyspark")
    assert spark is not None and spark.origin is not None
    seen = sha256()
    for path in (
        home / "release",
        home / "lib" / "modules",
        *sorted((Path(spark.origin).parent / "jars").glob("*.jar")),
    ):
        with suppress(OSError):
            status = path.stat()
            seen.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return folder / f"spark-{seen.hexdigest()[:16]}.jsa"


def java_options(path: Path) -> str:
    """Java's options, as Spark takes them: to use the archive when there is one, else to write it when Java ends; or none.

    What earlier runs left unfinished for an hour is removed, and archives that nobody has used for a month.
    """
    _forget_others(path)
    # Java does without an archive that is not of its classes, and need not say so.
    quiet = "-Xlog:disable -Xlog:all=error:stderr"
    try:
        if path.stat().st_size == 0:  # it has been tried
            return ""
        with suppress(OSError):
            os.utime(path)
        return f'"-XX:SharedArchiveFile={path}" {quiet}'
    except FileNotFoundError:
        if not os.access(path.parent, os.W_OK):
            return ""
        # One file a run: two may begin at once.
        return f'"{_WRITES}{path}.{secrets.token_hex(4)}" {quiet}'


def written_by(java: int) -> Path | None:
    """The file that the Java with this process number writes when it ends, if any."""
    try:
        arguments = Path(f"/proc/{java}/cmdline").read_text(encoding="utf-8", errors="surrogateescape").split("\0")
    except OSError:
        return None
    return next((Path(argument.removeprefix(_WRITES)) for argument in arguments if argument.startswith(_WRITES)), None)


def keep(unfinished: Path, java: "subprocess.Popen[bytes]") -> None:
    """Wait for a Java that has been told to end, and put the archive that it writes in its place; Java is gone afterwards.

    Where it wrote none, an empty file says so for a month. Never fails: without an archive the next start is only slower.
    """
    path = unfinished.with_suffix("")
    try:
        if java.wait(_WRITING_S) == 0 and unfinished.exists():
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())  # a file that breaks off would end the next Java with SIGBUS
            unfinished.replace(path)
            log.info("Java's classes are kept, for faster starts", file=str(path))
        else:
            path.touch()
            log.info("this Java cannot keep its classes", status=java.returncode)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("Java's classes could not be kept", file=str(path), reason=str(error))
    finally:
        drop(unfinished, java)


def drop(unfinished: Path, java: "subprocess.Popen[bytes]") -> None:
    """End a Java at once, and remove what it has written."""
    java.kill()
    java.wait()
    with suppress(OSError):
        unfinished.unlink(missing_ok=True)


def _forget_others(path: Path) -> None:
    """Remove what is no longer needed beside the archive."""
    for other in path.parent.glob("spark-*.jsa*"):
        with suppress(OSError):  # another run was faster
            if time.time() - other.stat().st_mtime > (_UNUSED_S if other.suffix == ".jsa" else _ABANDONED_S):
                other.unlink()

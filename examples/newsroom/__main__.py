"""python -m examples.newsroom serve"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.newsroom.server import serve
from yuqing.errors import YuqingError


def main() -> int:
    """Read the command line and serve until stopped; exit status 2 and one line of explanation when that cannot be."""
    parser = argparse.ArgumentParser(prog="python -m examples.newsroom", description="The demonstration newsroom.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("serve", help="serve three local news sites on 127.0.0.1 until stopped")
    command.add_argument(
        "--port", type=int, help="the first of four ports (default: 8800, or the next free four; 0: any free four)"
    )
    command.add_argument("--port-file", type=Path, help="write the base URLs there as JSON once they answer")
    options = parser.parse_args()
    try:
        serve(options.port, options.port_file, announce=_say)
    except YuqingError as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""The main file for spark-submit: `spark-submit [options] cleaning/submit.py [--json] [--replay KEY]...` is `yuqing clean`."""

import sys
from pathlib import Path

if __name__ == "__main__":
    # spark-submit puts this file's folder first, where modules would be found under other names than their own.
    sys.path[0] = str(Path(__file__).parents[1])
    from yuqing.cli import main

    sys.argv = ["yuqing", "clean", *sys.argv[1:]]
    main()

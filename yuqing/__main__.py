"""`python -m yuqing` is the `yuqing` command."""

from yuqing.cli import main

if __name__ == "__main__":
    main()

"""The demonstration's one progress display: a line a step on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.newsroom.summary import Summary


class Display:
    """Writes to standard error; the summary too, so that standard output keeps the one JSON line."""

    def __init__(self) -> None:
        """Nothing is shown before the first step."""
        self._console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.fields[name]:<15}"),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to draw."""
        self.close()

    def close(self) -> None:
        """Leave the lines as they are."""
        self._progress.stop()

    @contextmanager
    def step(self, name: str, description: str, count: Callable[[], int] | None = None) -> Iterator[None]:
        """Show a step while it runs; `count` is asked every second for how far it is."""
        task = self._progress.add_task(description, total=1, name=name, count="")
        started, over = time.monotonic(), Event()

        def follow() -> None:
            while count and not over.wait(1):
                self._progress.update(task, count=str(count()))

        follower = Thread(target=follow, daemon=True)
        if count and self._console.is_terminal:
            follower.start()
        try:
            yield
        finally:
            over.set()
            if follower.is_alive():
                follower.join()
        self._progress.update(task, completed=1)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {description}: {time.monotonic() - started:.1f} s", highlight=False)

    def show(self, summary: Summary, compared: int) -> None:
        """The table of what was done."""
        table = Table(title="舆情 demonstration", box=None, title_justify="left")
        table.add_column("what")
        table.add_column("count", justify="right")
        rows = {
            "new articles crawled": summary.crawled,
            "  of them through the browser": summary.fetched_js,
            "documents cleaned": summary.cleaned,
            "records quarantined": summary.quarantined,
            "reprints and duplicates": summary.duplicates,
            "reprint groups": summary.reprint_groups,
            "recordings transcribed": summary.transcribed,
            "documents analysed": summary.analysed,
            "verdicts (document, company)": summary.verdicts,
            f"agreement with the human labels of {compared} documents": (
                "-" if summary.agreement is None else f"{summary.agreement:.1%}"
            ),
            "seconds": summary.seconds,
        }
        for what, count in rows.items():
            table.add_row(what, str(count))
        self._console.print(table)

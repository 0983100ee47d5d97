"""A run as one can watch it: a bar or lines with the time left, history.jsonl, loss.png and, where wanted, TensorBoard."""

import json
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm.training.samples import TrainingError
from llm.triage.answers import open_to_go_on
from yuqing.telemetry import get_logger

log = get_logger(__name__)

HISTORY = "history.jsonl"
CURVES = "loss.png"
SMOOTHED = 20  # steps of the mean that is shown
EVERY = 5  # steps between two lines of the log
FLUSHED_S = 10  # seconds that TensorBoard is behind at most, and that a kill -9 loses


def _read(path: Path) -> list[dict[str, Any]]:
    """The lines of a history; one that was cut off is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


class Progress:
    """What the process that leads a run tells of it. `begin`, then `stepped`, `validating` and `validated`, at last `end`."""

    def __init__(self, out: Path, steps: int, *, tensorboard: bool = False) -> None:
        """Raises TrainingError when TensorBoard is wanted and not installed."""
        if tensorboard and not find_spec("tensorboardX"):
            raise TrainingError("tensorboard: true needs the package tensorboardX", cure="pip install 'yuqing[train]'")
        self._out, self._steps, self._tensorboard = out, steps, tensorboard
        self._losses: list[float] = []
        self._begun = 0
        self._writer: Any = None
        self._bar: Any = None
        self._task: Any = None
        self._said = ""

    def begin(self, step: int) -> None:
        """Go on behind this step: what an interrupted run told of later ones is forgotten."""
        path = self._out / HISTORY
        known = [row for row in _read(path) if row["step"] <= step]
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(row) + "\n" for row in known), encoding="utf-8")
        part.replace(path)
        self._losses = [row["loss"] for row in known if "loss" in row]
        self._begun = step

    def _open(self) -> None:
        """The bar and TensorBoard's writer have threads, which a fork would lose: they begin with the first step."""
        if self._tensorboard and self._writer is None:
            from tensorboardX import SummaryWriter

            # Files are named by the second, and one of the same name would be written over.
            self._writer = SummaryWriter(
                str(self._out / "tensorboard"),
                purge_step=self._begun + 1,
                flush_secs=FLUSHED_S,
                filename_suffix=f".{self._begun}",
            )
        if self._bar is None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=self._steps, completed=self._begun)
            self._bar.start()

    def _write(self, row: dict[str, Any]) -> None:
        with open_to_go_on(self._out / HISTORY) as file:
            file.write(json.dumps(row) + "\n")

    def stepped(self, step: int, loss: float, rate: float, seconds: float, left: float) -> None:
        """A step was taken: its loss and learning rate, the run's seconds so far, and those that are left."""
        self._open()
        self._write({"step": step, "loss": loss, "learning_rate": rate})
        self._losses.append(loss)
        recent = self._losses[-SMOOTHED:]
        mean = sum(recent) / len(recent)
        if self._writer is not None:
            self._writer.add_scalar("train/loss", loss, step)
            self._writer.add_scalar("train/learning_rate", rate, step)
        if self._bar is not None:
            self._said = f"loss {mean:.3f}, {timedelta(seconds=round(left))} left"
            self._bar.update(self._task, completed=step, description=self._said)
        elif step % EVERY == 0 or step == self._steps:
            log.info("step", step=step, of=self._steps, loss=round(mean, 3), seconds=round(seconds), left=round(left))

    def validating(self) -> None:
        """The validation begins, which takes minutes: the bar must not look as if it hung."""
        if self._bar is not None:
            self._bar.update(self._task, description="validating", refresh=True)

    def validated(self, step: int, figures: dict[str, float]) -> None:
        """The validation's figures after a step."""
        self._write({"step": step, "validation": figures})
        if self._writer is not None:
            for name, value in figures.items():
                if name != "documents":
                    self._writer.add_scalar(f"validation/{name}", value, step)
        if self._bar is not None:
            self._bar.update(self._task, description=self._said)
        log.info("validation", step=step, **figures)

    def end(self) -> None:
        """Close what is open and draw the curves."""
        if self._bar is not None:
            self._bar.stop()
        if self._writer is not None:
            self._writer.close()
        rows = _read(self._out / HISTORY)
        if rows and find_spec("matplotlib"):
            draw_curves(rows, self._out / CURVES)


def draw_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """The training loss (each step, and the mean of SMOOTHED) and the validation's figures over the steps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    steps = [row["step"] for row in rows if "loss" in row]
    losses = [row["loss"] for row in rows if "loss" in row]
    means = [sum(losses[max(0, i - SMOOTHED + 1) : i + 1]) / min(i + 1, SMOOTHED) for i in range(len(losses))]
    axis.plot(steps, losses, color="C0", alpha=0.3, linewidth=0.8)
    axis.plot(steps, means, color="C0", label=f"training loss, mean of {SMOOTHED} steps")
    axis.set(xlabel="step", ylabel="loss")
    checks = [row for row in rows if "validation" in row]
    other = axis.twinx() if checks and "loss" not in checks[0]["validation"] else axis
    names = [name for name in ("loss", "accuracy", "macro_f1") if checks and name in checks[0]["validation"]]
    for place, name in enumerate(names, 1):
        values = [row["validation"].get(name) for row in checks]
        other.plot([row["step"] for row in checks], values, "o-", color=f"C{place}", label=f"validation {name}")
    if other is not axis:
        other.set(ylabel=", ".join(names))
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

"""Loss and character error rate of a training run as a picture."""

from collections.abc import Sequence
from pathlib import Path


def draw(losses: Sequence[float], rates: Sequence[float], steps_an_epoch: int, path: Path) -> None:
    """Write a PNG: the loss of each step, and the validation's character error rate, the first one before the first step."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.plot(range(1, len(losses) + 1), losses, color="tab:blue", linewidth=1)
    left.set_xlabel(f"step ({steps_an_epoch} an epoch)")
    left.set_ylabel("loss", color="tab:blue")
    right = left.twinx()
    right.plot([number * steps_an_epoch for number in range(len(rates))], rates, color="tab:red", marker="o")
    right.set_ylabel("character error rate of the validation", color="tab:red")
    right.set_ylim(bottom=0)
    figure.savefig(path, dpi=100)

"""Pictures of an evaluation: confusion matrices, and confidence against how often it was right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm.entity.calibration import BINS
from llm.evaluation.documents import LabelledDocument
from llm.evaluation.figures import Read
from yuqing.contracts import SENTIMENTS

CONFUSION = "confusion.png"
RELIABILITY = "reliability.png"


def _axes(count: int, height: float) -> Any:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, count, figsize=(4.2 * count, height), squeeze=False, layout="constrained")
    return figure, axes[0]


def _save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_confusion(engines: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """A matrix an engine: rows are the human label, columns what was said; the colour is the share of its row."""
    figure, axes = _axes(len(engines), 4.0)
    for place, (engine, found) in zip(axes, engines.items(), strict=True):
        counts = np.array(found["confusion"])
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        place.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.6 else "black"
            place.text(column, row, f"{count}\n{shares[row, column]:.2f}", ha="center", va="center", color=colour)
        place.set(xticks=range(3), yticks=range(3), xticklabels=SENTIMENTS, yticklabels=SENTIMENTS)
        place.set(title=engine, xlabel="said", ylabel="human label")
    _save(figure, path)


def draw_reliability(documents: Sequence[LabelledDocument], read: Mapping[str, Read], path: Path) -> None:
    """Accuracy a bin of confidence (BINS of equal width), its points as large as the bin; on the line it is calibrated."""
    figure, axes = _axes(len(read), 4.2)
    for place, (engine, each) in zip(axes, read.items(), strict=True):
        confidence = each.probabilities.max(1)
        human = [documents[k].sentiment for k in each.places]
        right = np.array([a == b for a, b in zip(human, each.labels(), strict=True)])
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        shown = sorted(set(bins.tolist()))
        points = [(confidence[bins == k].mean(), right[bins == k].mean(), (bins == k).sum()) for k in shown]
        xs, ys, sizes = zip(*points, strict=True)
        place.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
        place.plot(xs, ys, color="C0", linewidth=1)
        place.scatter(xs, ys, s=[20 + 400 * size / len(right) for size in sizes], color="C0", alpha=0.7)
        place.set(title=engine, xlabel="confidence", ylabel="share that is right", xlim=(0.3, 1.02), ylim=(0, 1.05))
    _save(figure, path)

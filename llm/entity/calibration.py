"""How much a confidence can be trusted: expected calibration error."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 10


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> float:
    """ECE over bins of equal width: the mean distance of confidence and accuracy, weighted by a bin's share; in [0, 1].

    Naeini et al. 2015, Guo et al. 2017. Raises ValueError for none or unequal lengths.
    """
    if not len(confidence) or len(confidence) != len(right):
        raise ValueError(f"{len(confidence)} confidences and {len(right)} outcomes cannot be compared")
    found: npt.NDArray[np.float64] = np.asarray(confidence, dtype=float)
    hits = np.asarray(right, dtype=float)
    places = np.minimum((found * bins).astype(int), bins - 1)
    gaps = [abs(found[places == place].sum() - hits[places == place].sum()) for place in range(bins)]
    return round(float(sum(gaps)) / len(found), 4)

"""An adapter whose traffic exceeds one GPU: on how many it has to be."""

from __future__ import annotations

import math
from collections.abc import Callable


def fewest_parts(serves: Callable[[int], bool], most: int, too_few: int = 1) -> int | None:
    """Into how many equal parts its requests have to be divided at least, so that a GPU `serves` one of so many.

    It takes more than `too_few`, and no more than `most`; None where even so small a part is too much. What takes far
    fewer is found by judging little: sizes are halved by their ratio until they are close.
    """
    if most <= too_few or not serves(most):
        return None
    low, high = too_few, most
    while high - low > 1:
        middle = math.isqrt(low * high) if low * 4 < high else (low + high) // 2
        low, high = (low, middle) if serves(middle) else (middle, high)
    return high

"""Which adapters to admit when not all can be: a subset that keeps the mix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.inventory.inventory import Inventory

Positions = NDArray[np.int64]


def order(inventory: Inventory) -> Positions:
    """Positions of the adapters with alike ones side by side; does not depend on the order of the file."""
    mix, names = inventory.mix, inventory.names
    by_name = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    # The last key counts most; the sort is stable, so names decide among equals.
    keys = (mix.cv, mix.output_std, mix.output_mean, mix.input_std, mix.input_mean, mix.rate, mix.rank)
    return by_name[np.lexsort([key[by_name] for key in keys])]


def spread(ordered: Positions, size: int) -> Positions:
    """`size` of the adapters at even distances along the order, as ascending positions in the inventory.

    Every run of k alike adapters keeps its share: k * size / N of them, rounded up or down.
    """
    middle = (2 * np.arange(size, dtype=np.int64) + 1) * len(ordered) // (2 * size)
    return np.sort(ordered[middle])

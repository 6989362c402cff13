"""Numbers with names that compiled code changes in place: a tuple can hold them beside arrays."""

from __future__ import annotations

from typing import Self, cast, get_type_hints

import numpy as np


class Record:
    """Base of classes that list such numbers as annotations, int or float; instances are NumPy records."""

    @classmethod
    def of(cls, **values: float) -> Self:
        """A record of these values, and 0 for the others."""
        kinds = [(name, np.float64 if kind is float else np.int64) for name, kind in get_type_hints(cls).items()]
        unknown = values.keys() - {name for name, _ in kinds}
        assert not unknown, f"{cls.__name__} has no {', '.join(unknown)}"
        found = np.array([tuple(values.get(name, 0) for name, _ in kinds)], dtype=(np.record, kinds))
        return cast(Self, found[0])

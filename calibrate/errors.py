"""What can be wrong with the input of calibration."""

from __future__ import annotations


class CalibrationError(ValueError):
    """Measurements that cannot be used; the message says in one line what, where and what would be right."""

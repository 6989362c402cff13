"""The one way in which the zoo says no to its input."""

from __future__ import annotations


class ZooError(Exception):
    """Bad input; the message is one line that says what, where and what would be right."""

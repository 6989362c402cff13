"""The one way in which the advisor says no to its input."""

from __future__ import annotations


class InputError(Exception):
    """Bad input; the message is one line that says what, where and what would be right."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

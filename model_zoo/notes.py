"""What there is to say while work goes on: a line on stderr."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """One line on stderr."""
    print(f"model_zoo: {text}", file=sys.stderr)

"""Who waits for the compiler is told why."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from unittest.mock import patch

import pytest

from advisor.cli.terminal.compiling import compiling_noted


@pytest.mark.parametrize(
    ("compiled", "kept", "note"),
    [
        (True, True, ""),
        (False, True, "compiling the digital twin, this once"),
        (False, False, "compiling the digital twin (about half a minute): no folder to keep it in can be written"),
    ],
)
def test_a_note_says_whether_the_twin_is_compiled_only_once(compiled: bool, kept: bool, note: str) -> None:
    with (
        patch("twin.engine.compiled.compiled_before", return_value=compiled),
        patch("twin.engine.compiled.kept", return_value=kept),
        redirect_stderr(StringIO()) as told,
        compiling_noted(),
    ):
        pass
    assert note in told.getvalue()
    assert bool(told.getvalue()) == bool(note)

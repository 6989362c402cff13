"""The half minute that the digital twin takes to be compiled, told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from advisor.cli.terminal import streams


@contextmanager
def compiling_noted() -> Iterator[None]:
    """A note on stderr where the twin must be compiled first, as after each installation or update."""
    try:
        from twin.engine.compiled import compiled_before, kept
        from twin.engine.serving import serve
    except ModuleNotFoundError:  # whoever needs the twin says what to install
        yield
        return
    if compiled_before(serve):
        yield
        return
    from rich.console import Console

    note = (
        "compiling the digital twin, this once (about half a minute)"
        if kept()
        else "compiling the digital twin (about half a minute): no folder to keep it in can be written"
    )
    console = Console(stderr=True)
    if not console.is_terminal:
        streams.note(note)
    with console.status(note) if console.is_terminal else nullcontext():
        yield

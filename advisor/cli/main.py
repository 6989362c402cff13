"""The entry point: one line on stderr and an exit code for whatever goes wrong.

Typer is imported in here, so that not even an interrupt while it loads ends in a traceback.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys


def main() -> None:
    """Run the command `advisor` and exit: 0 fine, 1 the answer is no, 2 bad input or nowhere to write, 130 Ctrl-C."""
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, as in the background
        signal.signal(signal.SIGINT, interrupt)
    try:
        code = _run()
    except BaseException:
        if interrupted:  # an import in compiled code makes another error of it
            sys.exit(128 + signal.SIGINT)
        raise
    if signal.getsignal(signal.SIGINT) is interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said, and the interpreter takes its time to end
    sys.exit(code)


def _run() -> int:
    _spare()
    from advisor.cli.terminal import streams

    if not streams.prepare():
        return 2
    from advisor.cli.app import UsageError, app
    from advisor.errors import InputError

    try:
        return int(app(standalone_mode=False) or 0)  # the code of a typer.Exit, if one ended it
    except (InputError, streams.OutputError) as error:
        streams.note(str(error))
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "advisor"
        streams.note(f"{error.format_message().rstrip('.')} (see {command} --help)")
    except MemoryError:
        streams.note("out of memory")
    except OSError as error:
        streams.note(f"{error.filename or 'the operating system'}: {error.strerror or error}")
        streams.silence(sys.stdout)
    return 2


def _spare() -> None:
    """Spare a process that lives for a fraction of a second what pays off in longer ones: a quarter of its time."""
    # numpy's linear algebra starts a thread per core on import; the advisor's vectors are too short for more than one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # pydantic looks through all that is installed for plugins of its own; the advisor has no use for any.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Imports make some 50,000 objects that stay: there is no garbage to look for, neither meanwhile nor at the exit.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)

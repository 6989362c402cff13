"""vLLM servers in Python: commands that are started, engines that are made, and what Ray or a cloud is told.

The syntax tree is read; nothing is run and nothing imported.
"""

from __future__ import annotations

import ast
import warnings

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.formats.python.program import Program
from advisor.deploy.source import Source

__all__ = ["read"]


def read(source: Source, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers that a Python program starts or describes.

    Raises:
        NotReadableError: it is no Python.
    """
    text = source.text.replace("\ufeff", " ", 1) if source.text.startswith("\ufeff") else source.text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python has to say of odd literals is no concern of the user's here
            tree = ast.parse(text)
    except SyntaxError as error:
        raise NotReadableError(f"not Python: line {error.lineno}: {error.msg}") from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise NotReadableError(f"not Python that can be read: {str(error)[:100] or 'nested too deeply'}") from error
    program = Program(source, Context(file, source, "Python", config=config))
    program.module(tree)
    return program.found

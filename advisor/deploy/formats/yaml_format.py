"""Deployment files in YAML, of whatever platform."""

from __future__ import annotations

from advisor.deploy.arguments import engine_arguments
from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.arguments.word import Word
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment
from advisor.deploy.search import search
from advisor.deploy.source import Source
from advisor.deploy.syntax import yaml_tree
from advisor.deploy.syntax.tree import Mapping


def read(text: str, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers in the documents of a YAML file.

    Raises:
        NotReadableError: it is no YAML.
    """
    source = Source.of(text)
    return search(yaml_tree.read(source), source, file, "YAML", config)


def read_config(text: str, file: str) -> list[tuple[str, list[Word]]]:
    """The keys of vLLM's own --config file, each with the words that vLLM makes of it.

    Raises:
        NotReadableError: it is no YAML.
    """
    source = Source.of(text)
    documents = yaml_tree.read(source)
    context = Context(file, source, "vLLM --config")
    first = documents[0] if documents else None
    return engine_arguments.config_entries(first, context) if isinstance(first, Mapping) else []

"""Deployment files in JSON, of whatever platform."""

from __future__ import annotations

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.deployment import Deployment
from advisor.deploy.search import search
from advisor.deploy.source import Source
from advisor.deploy.syntax import yaml_tree


def read(text: str, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers in a JSON file.

    Raises:
        NotReadableError: it is no JSON.
    """
    source = Source.of(text)
    return search(yaml_tree.read(source, json=True), source, file, "JSON", config)

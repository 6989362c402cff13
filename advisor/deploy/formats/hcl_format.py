"""Terraform configurations and Nomad jobs."""

from __future__ import annotations

from dataclasses import replace

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.context import Context
from advisor.deploy.deployment import Deployment
from advisor.deploy.search import servers
from advisor.deploy.source import Source
from advisor.deploy.syntax import hcl_tree
from advisor.deploy.syntax.tree import Mapping


def read(text: str, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers in a file of HCL.

    Raises:
        NotReadableError: it is no HCL.
    """
    source = Source.of(text)
    root = hcl_tree.read(source)
    context = Context(file, source, "Terraform", config=config)
    found: list[Deployment] = []
    for key, node in root.entries:
        if key.text in ("variable", "locals", "output"):  # what is used is read where it is used
            continue
        inner = context.below(key.text)
        if key.text == "job":
            inner = replace(inner, kind="Nomad job", compose=True)
        labels = node.entries if key.text in ("resource", "job", "module") and isinstance(node, Mapping) else ()
        if key.text == "resource":
            labels = tuple(each for _, kind in labels if isinstance(kind, Mapping) for each in kind.entries)
        for label, block in labels:
            found += servers(block, replace(inner, name=label.text))
        if not labels:
            found += servers(node, inner)
    return found

"""Structured files by what they are: YAML, JSON, HCL, properties, variables."""

from __future__ import annotations

import re
from pathlib import PurePath

from advisor.deploy.arguments.config_file import ReadConfig
from advisor.deploy.deployment import Deployment

_SUFFIXES = {
    **dict.fromkeys((".yaml", ".yml"), "yaml"),
    **dict.fromkeys((".json", ".tfvars.json"), "json"),
    **dict.fromkeys((".tf", ".hcl", ".nomad", ".tofu"), "hcl"),
    ".properties": "properties",
    ".env": "env",
}
_HCL = re.compile(
    r"^[ \t]*(?:resource|job|module|variable|locals|terraform|provider|data)\s+(?:\"[^\"]*\"\s*)*\{", re.MULTILINE
)
_PROPERTIES = re.compile(r"^(?:option\.[\w.]+\s*[=:]|engine\s*=)", re.MULTILINE)


def syntax(text: str, file: str) -> str:
    """What a structured file is written in, by its name or else its text: yaml, json, hcl, properties or env."""
    name = PurePath(file).name.lower()
    known = next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)
    if known is None and (name.startswith(".env") or name.endswith("env")):
        known = "env"
    if known is not None:
        return known
    if text.lstrip()[:1] in ("{", "["):
        return "json"
    for pattern, kind in ((_HCL, "hcl"), (_PROPERTIES, "properties")):
        if pattern.search(text):
            return kind
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and all(re.match(r"(?:export\s+)?[A-Za-z_]\w*=", line) for line in lines):
        return "env"
    return "yaml"


def read_document(text: str, file: str, *, config: ReadConfig | None = None) -> list[Deployment]:
    """The vLLM servers in a structured file.

    Args:
        text: Of the file.
        file: Its name, which tells what it is written in where it has a known ending.
        config: Reads a file that a command in it names by --config.

    Raises:
        NotReadableError: it is not what it seems to be; the message is one line.
    """
    kind = syntax(text, file)
    if kind == "properties":
        from advisor.deploy.formats import properties_format

        return properties_format.read(text, file)
    if kind == "env":
        from advisor.deploy.formats import env_format

        return env_format.read(text, file)
    if kind == "hcl":
        from advisor.deploy.formats import hcl_format

        return hcl_format.read(text, file, config=config)
    if kind == "json":
        from advisor.deploy.formats import json_format

        return json_format.read(text, file, config=config)
    from advisor.deploy.formats import yaml_format

    return yaml_format.read(text, file, config=config)

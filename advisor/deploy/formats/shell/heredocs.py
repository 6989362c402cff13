"""Here-documents of a script: their texts, and what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from advisor.deploy.arguments import command
from advisor.deploy.source import Source, joined
from advisor.deploy.syntax.shell_words import Expander, Piece, shown_parts, without_tabs

if TYPE_CHECKING:
    import tree_sitter


def heredoc(script: Expander, redirect: tree_sitter.Node) -> Source | None:
    """The text of a here-document, variables put in."""
    body = next((each for each in redirect.named_children if each.type == "heredoc_body"), None)
    start = next((each for each in redirect.named_children if each.type == "heredoc_start"), None)
    if body is None or start is None:
        return None
    # tree-sitter begins and ends the body at its first and last visible characters.
    first = script.text.rfind("\n", 0, script.span(body)[0]) + 1
    end = next((each for each in redirect.named_children if each.type == "heredoc_end"), body)
    last = max(first, script.text.rfind("\n", 0, script.span(end)[0] + (end is body)) + 1)
    if re.search(r"[\"'\\]", script.raw(start)):
        parts: Iterable[Piece] = [Piece(script.source.part(first, last))]
    else:
        parts = script.mixed(first, last, body.children, escapes="\\$`")
    kept = [part for piece in parts for part in shown_parts(piece)]
    if any(child.type == "<<-" for child in redirect.children):
        kept = [part for each in kept for part in without_tabs(each)]
    if not kept:
        return None
    whole = joined(kept) if len(kept) > 1 else kept[0]
    return replace(whole, line_break=script.source.line_break)


def document_name(reader: str, targets: Sequence[str]) -> str:
    """What a here-document is, by where it goes."""
    tee = re.search(r"\btee\s+(?:-a\s+)?([^\s|;&]+)", reader)
    target = targets[-1] if targets and not targets[-1].startswith("/dev/") else tee[1] if tee else ""
    if target:
        return target.strip("\"'")
    program = re.sub(r"^(?:sudo|exec|env|time|nohup)\s+", "", reader.strip()).split(None, 1)
    name = program[0].rpartition("/")[2] if program else ""
    if name in command.SHELLS or name in ("ssh", "sbatch", "srun", "qsub", "bsub"):
        return "-.sh"
    if name.startswith("python"):
        return "-.py"
    if name in ("kubectl", "oc", "helm", "docker", "kustomize", "k3s", "kn", "argocd"):
        return "-.yaml"
    return ""


def leaves(node: tree_sitter.Node | None, type_: str) -> Iterator[tree_sitter.Node]:
    """The nodes of a type at or below one."""
    stack = [node] if node is not None else []
    while stack:
        each = stack.pop()
        if each.type == type_:
            yield each
        else:
            stack.extend(reversed(each.children))

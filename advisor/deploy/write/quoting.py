"""How a text is written so that the reader of a file gets just that text back: the filters of the templates.

Whatever stands in an inventory comes out as itself, or is refused where a format has no way to say it.
"""

from __future__ import annotations

import json as json_format
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

import yaml as yaml_format


class RefusedError(Exception):
    """A format cannot say what an inventory holds; the message says what and why."""


def yaml(value: str | float) -> str:
    """A YAML scalar: text always in double quotes with escapes, on one line."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return json(value)  # the same in a twentieth of the time
    style = '"' if isinstance(value, str) else None
    return yaml_format.safe_dump(value, default_style=style, width=float("inf")).removesuffix("\n...\n").rstrip("\n")


def json(value: object) -> str:
    """JSON on one line, ASCII alone."""
    return json_format.dumps(value)


def literal(text: str) -> str:
    """Text for files in which `$NAME`, `${NAME}` or `$(NAME)` is replaced: compose and Kubernetes."""
    return text.replace("$", "$$")


def sh(value: str | float) -> str:
    """One word of a shell."""
    return shlex.quote(str(value))


def systemd(value: str | float) -> str:
    """One word of a command in a systemd unit, where `%` and `$` are replaced."""
    text = str(value).replace("%", "%%").replace("$", "$$")
    return '"' + "".join(_c_escaped(each) for each in text) + '"'


def _c_escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def nginx(value: str | float) -> str:
    """One word of nginx's configuration, where variables are not replaced (the left side of a `map`)."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def env(value: str | float) -> str:
    """The value of a variable in an env-file, which goes to the end of its line as it stands.

    Raises:
        RefusedError: it has lines, or blanks at an end.
    """
    text = str(value)
    if text != text.strip() or len(text.splitlines()) > 1 or not text.isprintable():
        raise RefusedError(f"{text!r} cannot stand in an env-file, which has no quotes")
    return text


def comment(text: str) -> str:
    """Text for a comment: on one line, with escapes for what cannot be printed."""
    return "".join(
        each if each.isprintable() and each != "\\" else each.encode("unicode_escape").decode() for each in text
    )


def only(text: str, pattern: str, who: str, what: str) -> str:
    """The text, where all of it matches a pattern.

    Raises:
        RefusedError: it does not; the message says who takes what alone.
    """
    if not re.fullmatch(pattern, text):
        raise RefusedError(f"{text!r}: {who} takes {what} alone")
    return text


def untemplated(text: str, who: str) -> str:
    """The text, where it holds nothing that Go templates act on.

    Raises:
        RefusedError: it does.
    """
    if "{{" in text:
        raise RefusedError(f"{text!r}: {who} would read {{{{ as a template")
    return text


def uri(source: str, who: str, *schemes: str) -> str:
    """Where an adapter is loaded from as a URI: `org/name` is one of the Hugging Face hub.

    Raises:
        RefusedError: a path, or a scheme that is not among these, or a character that belongs into no URI.
    """
    address = f"hf://{source}" if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source, re.ASCII) else source
    if not re.fullmatch(rf"(?:{'|'.join(schemes)})://[\w.~/@:+=,-]+", address, re.ASCII):
        named = ", ".join(f"{scheme}://" for scheme in schemes)
        raise RefusedError(f"{source!r}: {who} loads adapters from {named} or a hub id alone")
    return address


def mountable(path: str, who: str, *taken: str, without: str = "") -> str:
    """The path, where a folder may be mounted at it.

    Args:
        path: An absolute one.
        who: Mounts it.
        taken: Paths at which something else is mounted already.
        without: Characters that such a path may not have there.

    Raises:
        RefusedError: it may not.
    """
    if path == "/" or path in taken or ".." in path.split("/"):
        raise RefusedError(f"{path!r}: {who} cannot mount a folder there")
    if found := [each for each in without if each in path]:
        raise RefusedError(f"{path!r}: {who} mounts no paths with {found[0]!r}")
    return path


def apart(names: Sequence[str], who: str) -> Sequence[str]:
    """The names, where they differ by more than the case of their letters.

    Raises:
        RefusedError: two do not.
    """
    known: dict[str, str] = {}
    for name in names:
        lowered = "".join(each.lower() if each.isascii() else each for each in name)
        if other := known.get(lowered):
            raise RefusedError(f"{other!r} and {name!r}: {who} does not tell the cases of letters apart")
        known[lowered] = name
    return names


def spellings(text: str) -> list[str]:
    """How clients write a text in JSON, without its quotes: escaped to ASCII or not, with `/` as it is or as `\\/`."""
    plain = [json_format.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    return list(dict.fromkeys([*plain, *(each.replace("/", "\\/") for each in plain)]))


def at_most(text: str, limit: int, what: str) -> str:
    """The text, where it is no longer than that in UTF-8.

    Raises:
        RefusedError: it is.
    """
    if (length := len(text.encode())) > limit:
        raise RefusedError(f"{what} holds {limit:,} bytes at most, not {length:,}")
    return text


FILTERS: Mapping[str, Callable[..., str | Iterable[str]]] = {
    each.__name__: each
    for each in (
        *(yaml, json, literal, sh, systemd, nginx, env, comment),
        *(only, untemplated, uri, mountable, apart, spellings, at_most),
    )
}
"""By the names that templates know them by."""

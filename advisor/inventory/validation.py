"""One line about what a pydantic model refused in a TOML document: where, what, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from advisor.inventory.lines import Location, line_of

Document = Mapping[str, Any]


def explain(error: ValidationError, model: type[BaseModel], document: Document, text: str, where: str) -> str:
    """The most telling of the errors as one line.

    What would be right is the description of the model's field. An unknown key comes first: it is likely the
    misspelt name of a key that is then missing.
    """
    errors = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    unknown = first["type"] == "extra_forbidden"
    location = first["loc"]
    if not unknown and _tagged(location[-1]):  # not a key of the table but the table itself
        location = location[:-1]
    *outer, key = location
    written = [part for part in outer if not _tagged(part)]
    line = line_of(text, [*written, key])
    opening = f"{where}:{line}: " if line else f"{where}: "
    place = _place(written, document)
    if unknown:
        return f"{opening}{place}unknown key {key!r}; {_remedy(str(key), _fields(model, outer))}"
    right = _right(model, location)
    if first["type"] == "missing":
        return f"{opening}{place}{key!r} is missing; it must be {right}"
    name = f"entry {key + 1}" if isinstance(key, int) else key
    return f"{opening}{place}{name} is {shown(first['input'])}, but must be {right}"


def _remedy(key: str, fields: Mapping[str, FieldInfo]) -> str:
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    names = list(fields)
    return f"valid keys are {', '.join(names) if len(names) < 30 else f'{names[0]} to {names[-1]}'}"


def _right(model: type[BaseModel], location: Location) -> str:
    *outer, key = location
    if isinstance(key, int):
        return f"a table with {', '.join(_fields(model, location))}"
    return str(_fields(model, outer)[key].description)


def _fields(model: type[BaseModel], location: Location) -> Mapping[str, FieldInfo]:
    """The fields of the table at a location; where there are several kinds of tables, a tag says which it is."""
    kinds: dict[str, type[BaseModel]] = {}
    for name in location:
        if _tagged(name):
            model = kinds[str(name)]
        elif isinstance(name, str):
            kinds = {f"<{kind.__name__}>": kind for kind in _models(model.model_fields[name].annotation)}
            model = next(iter(kinds.values()))
    return model.model_fields


def _tagged(part: str | int) -> bool:
    """Whether this part of a location is not in the document, but names the kind of table: "<Length>"."""
    return isinstance(part, str) and part.startswith("<")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `list[Adapter]` or `Length | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _place(outer: Location, document: Document) -> str:
    """The enclosing tables, in the reader's terms: an entry of a list by its name where it has one."""
    parts: list[str] = []
    table: Any = document
    for part in outer:
        table = table[part]
        if isinstance(part, str):
            parts.append(part)
        else:
            named = isinstance(table, Mapping) and isinstance(table.get("name"), str)
            parts[-1] = f"{parts[-1]} entry {part + 1}" + (f" ({shown(table['name'])})" if named else "")
    return ": ".join((*parts, ""))


def shown(value: object) -> str:
    """A value in short, as a message quotes it."""
    match value:
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value) if isinstance(value, str) else str(value)
            return text if len(text) <= 60 else f"{text[:57]}..."

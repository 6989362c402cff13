"""One line about what a pydantic model refused in a document: where, what, and what would be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from advisor.inventory.document import Document, shown
from advisor.inventory.lines import Location
from advisor.inventory.synonyms import meant
from advisor.nearest import nearest


class RefusedError(ValueError):
    """Values that are not right together; raised by a validator, or for a whole document."""

    def __init__(self, sentence: str, *at: str | int) -> None:
        """`at` leads from the table at hand to the key that the sentence is about; empty: to the table itself."""
        super().__init__(sentence)
        self.sentence, self.at = sentence, at


def explain(error: ValidationError | RefusedError, model: type[BaseModel], document: Document) -> str:
    """What is wrong with a document, in one line.

    Of several errors the most telling: an unknown key comes first, for it is likely the misspelt name of a key that is
    then missing. What would be right is the description of the model's field.
    """
    if isinstance(error, RefusedError):
        return document.message(error.sentence, error.at, error.at[:-1])
    errors = error.errors(include_url=False)
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    *outer, key = location = first["loc"]
    refused = first.get("ctx", {}).get("error")
    if isinstance(refused, RefusedError):
        return document.message(refused.sentence, (*location, *refused.at), (*location, *refused.at[:-1]))
    if first["type"] == "extra_forbidden":
        sentence = f"unknown key {shown(key)}; {_remedy(str(key), _fields(model, outer))}"
    elif first["type"] == "missing":
        sentence = f"{key!r} is missing; it must be {_right(model, location)}"
    else:
        name = f"entry {key + 1}" if isinstance(key, int) else key
        sentence = f"{name} is {shown(first['input'])}, but must be {_right(model, location)}"
    return document.message(sentence, location, outer)


def _remedy(key: str, known: Mapping[str, object]) -> str:
    near = meant(key, known) or nearest(key, known)
    return f"did you mean {near!r}?" if near else f"valid keys are {', '.join(known)}"


def _right(model: type[BaseModel], location: Location) -> str:
    *outer, key = location
    if isinstance(key, int):
        field = _fields(model, outer[:-1])[str(outer[-1])]
        of_tables = any(_models(field.annotation))
        return (
            f"a table with {', '.join(_fields(model, location))}" if of_tables else f"an entry of {field.description}"
        )
    return str(_fields(model, outer)[key].description)


def _fields(model: type[BaseModel], location: Location) -> Mapping[str, FieldInfo]:
    """The fields of the table at a location."""
    for name in location:
        if isinstance(name, str):
            model = next(_models(_by_key(model)[name].annotation))
    return _by_key(model)


def _by_key(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields under the keys that a file has them by."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as `list[Adapter]` or `Length | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)

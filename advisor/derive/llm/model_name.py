"""When two names mean the same LLM, and which one that is not known may mean."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from advisor.names import listed
from advisor.nearest import LEAST_BEGINNING, is_one_off, longer, nearest, squashed


def same_model(given: str, model: str) -> bool:
    """Whether what an inventory calls its LLM is this Hugging Face id, whatever the case of the letters.

    The organisation may be left out, and so may Meta's name before that of its model, with which the hub had the Llama
    models at first. Another size, a quantised variant, or base instead of instruct is another model.
    """
    ours, theirs = given.lower().rpartition("/"), model.lower().rpartition("/")
    return bare(given) == bare(model) and ours[0] in ("", theirs[0])


def bare(model: str) -> str:
    """The name without the organisation and what tells no two models apart, in lower case."""
    return model.lower().rpartition("/")[2].removeprefix("meta-").removesuffix("-hf")


def hint(model: str, known: Iterable[str]) -> str:
    """What goes on after a name that is no model's: those that it may be; nothing where it resembles none.

    One that is only written otherwise, or misspelt, is asked for; a family lists its members.
    """
    names = {bare(name): name for name in known}
    wanted = bare(model)
    ours = {squashed(model), squashed(wanted)}
    if len(squashed(wanted)) < LEAST_BEGINNING:
        return ""
    misspelt = nearest(wanted, names)
    slipped = [each for each, name in names.items() if any(is_one_off(one, way) for one in ours for way in _ways(name))]
    if misspelt and {*slipped} <= {misspelt}:
        return f"; did you mean {names[misspelt]!r}?"
    begun = squashed(wanted)
    family = [each for each in names if squashed(each).startswith(begun) or begun.startswith(squashed(each))]
    near = dict.fromkeys([*filter(None, [misspelt]), *family, *slipped])
    near = near or dict.fromkeys([*longer(wanted, names), *get_close_matches(wanted, names, n=3, cutoff=0.7)])
    return f"; near are {listed([names[each] for each in near])}" if near else ""


def _ways(model: str) -> set[str]:
    """How a model is written: with the organisation, without, and without what tells no two models apart."""
    return {squashed(model), squashed(model.rpartition("/")[2]), squashed(bare(model))}

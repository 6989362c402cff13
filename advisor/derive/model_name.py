"""When two names mean the same LLM."""

from __future__ import annotations


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

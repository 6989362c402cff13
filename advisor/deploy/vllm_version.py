"""Which flags which vLLM knows, as far as launch files need it."""

from __future__ import annotations

import re

from advisor.errors import InputError

OLDEST = "0.8"
"""Older ones are another engine; all that is written without being named in `SINCE` exists from here on."""
SINCE = {"max_num_queued_reqs": "0.29"}
"""The first version that is known to have a flag."""


def release(text: str) -> str:
    """A version as the tags of vLLM's images have it: "0.32" is 0.32.0.

    Raises:
        InputError: no version, or one older than `OLDEST`.
    """
    from packaging.version import Version  # only for those who name a version

    if not re.fullmatch(r"v?[0-9]+\.[0-9]+(\.[0-9]+)?(rc[0-9]+|\.post[0-9]+)?", text):
        raise InputError(f"vLLM {text!r}: not a version, such as 0.32 or 0.32.0")
    version = text.removeprefix("v")
    if Version(version) < Version(OLDEST):
        raise InputError(f"vLLM {version}: older than {OLDEST}, the oldest that launch files are written for")
    return version if version.count(".") > 1 else re.sub(r"^([0-9]+\.[0-9]+)", r"\1.0", version)


def knows(vllm: str, flag: str) -> bool:
    """Whether that version has a flag."""
    if flag not in SINCE:
        return True
    from packaging.version import Version

    return Version(vllm) >= Version(SINCE[flag])

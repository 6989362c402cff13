"""Windows of attention: which layers of a model look back no further than a number of tokens.

vLLM keeps of such a layer no more than the window, once a sequence is longer. Profiles count every layer as if it kept
all: their KV cache, in tokens, is the smallest that it may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from advisor.derive.llm.model_config import FULL, ModelConfig
from twin.profile import Profile

ONE_IN: Mapping[str, int] = {
    **dict.fromkeys(("gemma2", "gpt_oss"), 2),
    **dict.fromkeys(("cohere2", "exaone4", "olmo3"), 4),
    **dict.fromkeys(("gemma3", "gemma3_text"), 6),
}
"""Of a model type's layers, the last of every so many looks back all the way, the others over the window; as the
configuration classes of transformers 5.24.0 have it where a configuration names neither layer_types nor a pattern."""
SWITCHED = {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3"}
"""Types that have a window only where use_sliding_window is true, whatever sliding_window says."""
FIRST_WHOLE = {"qwen2", "qwen2_moe", "qwen3"}
"""Of these, types whose first max_window_layers layers look back all the way."""
COUNTED = " if all its layers looked back all the way"
"""What ends a sentence that a server does not start, where windows are not counted: with them it may."""


class Windows(NamedTuple):
    """Layers that look back over a window only."""

    layers: int = 0
    """How many; 0 where no sequence is longer than the window."""
    tokens: int = 0
    """The window."""


def windows_of(config: ModelConfig) -> Windows:
    """The windows that a configuration tells."""
    window, longest = config.sliding_window, config.longest
    if not window or (longest is not None and window >= longest):
        return Windows()
    if config.model_type in SWITCHED and not config.use_sliding_window:
        return Windows()
    return Windows(found, window) if (found := _layers(config)) else Windows()


def are_left_out(profile: Profile) -> bool:
    """Whether a Profile counts layers as if they looked back all the way that look back over a window only."""
    return profile.derivation is not None and profile.derivation.windowed_layers > 0


def _layers(config: ModelConfig) -> int:
    layers, kind, pattern = config.num_hidden_layers, config.model_type, config.sliding_window_pattern
    if config.layer_types is not None:
        return sum(each not in FULL for each in config.layer_types)
    if kind in FIRST_WHOLE:
        return max(layers - (config.max_window_layers or 0), 0)
    if isinstance(pattern, str):  # such as LLLG, of local and global layers
        return sum(pattern[i % len(pattern)] == "L" for i in range(layers)) if pattern else 0
    every = ONE_IN.get(kind) if pattern is None else pattern
    return layers if every is None else layers - layers // every if every > 0 else 0

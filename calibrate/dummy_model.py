"""Models without weights, for `--load-format dummy`: a real vLLM engine or server with nothing to download.

What a server pays for a step depends on the shapes of a model, not on its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calibrate import output
from calibrate.errors import CalibrationError

VOCABULARY = 128
"""Tokens of the smallest model; 0 begins a text, 1 ends it, 2 stands for unknown words."""
HEAD = 32
"""Size of an attention head, the smallest that vLLM's CPU engine takes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama, by the names of its `config.json`."""

    hidden_size: int = 64
    intermediate_size: int = 128
    num_hidden_layers: int = 1
    num_attention_heads: int = 2
    num_key_value_heads: int = 2
    head_dim: int = HEAD
    vocab_size: int = VOCABULARY
    max_position_embeddings: int = 8192
    rope_theta: float = 10_000.0
    rope_scaling: Mapping[str, object] | None = None
    torch_dtype: str = "float32"


TINY = Shape(hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=8, vocab_size=1024)
"""For vLLM's CPU build: a step takes a few ms on one core."""
LLAMA_8B = Shape(
    hidden_size=4096,
    intermediate_size=14_336,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
    vocab_size=128_256,
    max_position_embeddings=131_072,
    rope_theta=500_000.0,
    rope_scaling={
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    torch_dtype="bfloat16",
)
"""Of meta-llama/Llama-3.1-8B-Instruct."""
SHAPES = {"tiny-llama": TINY, "llama-3.1-8b-instruct": LLAMA_8B}


def write_model(folder: Path, shape: Shape = Shape()) -> Path:
    """Write configuration and tokenizer; return the folder.

    Its words are t0, t1, …: token `i` is the word `ti`.

    Raises:
        CalibrationError: the sizes make no model, or it cannot be written.
    """
    if shape.head_dim < HEAD or shape.head_dim % HEAD or shape.num_hidden_layers < 1 or shape.vocab_size < 4:
        raise CalibrationError(
            f"head_dim {shape.head_dim}, num_hidden_layers {shape.num_hidden_layers}, vocab_size {shape.vocab_size}: "
            f"head_dim must be a multiple of {HEAD}, layers at least 1, the vocabulary at least 4"
        )
    for name, content in (
        ("config.json", _config(shape)),
        ("tokenizer.json", _tokenizer(shape.vocab_size)),
        ("tokenizer_config.json", _TOKENIZER_CONFIG),
    ):
        output.write(folder / name, json.dumps(content, indent=1).encode())
    return folder


def _config(shape: Shape) -> dict[str, object]:
    sizes = {name: value for name in shape.__slots__ if (value := getattr(shape, name)) is not None}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **sizes,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def _tokenizer(vocabulary: int) -> dict[str, object]:
    """The file format of the `tokenizers` library, whose whole dependency tree this spares."""
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {f"t{i}": i for i in range(vocabulary)}, "unk_token": "t2"},
    }


_TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "t0",
    "eos_token": "t1",
    "unk_token": "t2",
}

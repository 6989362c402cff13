"""A Llama small enough for any machine: a real vLLM engine or server with nothing to download."""

from __future__ import annotations

import json
from pathlib import Path

from calibrate.errors import CalibrationError

VOCABULARY = 128
"""Tokens, unless told otherwise; 0 begins a text, 1 ends it, 2 stands for unknown words."""
HEAD = 32
"""Size of an attention head, the smallest that vLLM's CPU engine takes."""


def write_model(folder: Path, *, hidden: int = 64, layers: int = 1, vocabulary: int = VOCABULARY) -> Path:
    """Write configuration and tokenizer, for `--load-format dummy`; return the folder.

    Its words are t0, t1, …: token `i` is the word `ti`.

    Raises:
        CalibrationError: the sizes make no model.
    """
    if hidden < HEAD or hidden % HEAD or layers < 1 or vocabulary < 4:
        raise CalibrationError(
            f"tiny model: hidden {hidden}, layers {layers}, vocabulary {vocabulary} make no model; "
            f"hidden must be a multiple of {HEAD}, layers at least 1, vocabulary at least 4"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("config.json", _config(hidden, layers, vocabulary)),
        ("tokenizer.json", _tokenizer(vocabulary)),
        ("tokenizer_config.json", _TOKENIZER_CONFIG),
    ):
        (folder / name).write_text(json.dumps(content, indent=1))
    return folder


def _config(hidden: int, layers: int, vocabulary: int) -> dict[str, object]:
    heads = hidden // HEAD
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 2 if heads % 2 == 0 else 1,
        "head_dim": HEAD,
        "vocab_size": vocabulary,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
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

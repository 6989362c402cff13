"""Dummy LoRA adapters in PEFT's format: of any rank, for any decoder like Llama, Mistral or Qwen2.

What a server pays for an adapter depends on its rank, its modules and its data type, hardly on its values, so
calibration needs no trained ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from calibrate.errors import CalibrationError

LARGEST = 1 << 20
"""No model has so many layers, heads or features."""
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"

DType = Literal["float16", "bfloat16", "float32"]
ITEM_BYTES: dict[str, int] = {"float16": 2, "bfloat16": 2, "float32": 4}
_HEADER_BYTES_PER_TENSOR = 256
"""At most, for its name, shape and offsets in the file and for its share of the settings."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """The linear layers of a model."""

    layers: int
    features: Mapping[str, tuple[int, int]]
    """In and out, of every module that an adapter can change."""
    dtype: str = "bfloat16"
    """Of the weights, and so of the KV cache, unless the server is told otherwise."""

    def kv_bytes_per_token(self, dtype: str | None = None) -> float:
        """Keys and values of one token in all layers, bytes; `dtype` is the server's where it is given one."""
        numbers = self.features["k_proj"][1] + self.features["v_proj"][1]
        return float(self.layers * numbers * ITEM_BYTES.get(dtype or self.dtype, 2))


def read_decoder(model: Path) -> Decoder:
    """The layers that `config.json` in the model's folder describes.

    Raises:
        CalibrationError: the file is missing, or not of a plain decoder.
    """
    file = model / "config.json"
    try:
        config = json.loads(file.read_text())
        hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        head = int(config.get("head_dim") or hidden // heads)
        key_heads = int(config.get("num_key_value_heads") or heads)
        if not all(1 <= size <= LARGEST for size in (hidden, inner, layers, heads, head, key_heads)):
            raise ValueError(f"layers, heads and features from 1 to {LARGEST:,} wanted")
    except OSError as error:
        raise CalibrationError(f"{file}: cannot be read: {error.strerror}; give the folder of a model") from error
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise CalibrationError(f"{file}: not the configuration of a model: {error}") from error
    except KeyError as error:
        raise CalibrationError(
            f"{file}: {error.args[0]} is missing; dummy adapters are made for decoders like Llama, Mistral or Qwen2"
        ) from error
    experts = [name for name in config if "experts" in name and config[name]]
    if experts:
        raise CalibrationError(f"{file}: {experts[0]}: a mixture of experts; dummy adapters need a dense decoder")
    queries, keys = heads * head, key_heads * head
    return Decoder(
        layers,
        {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        },
        str(config.get("dtype") or config.get("torch_dtype") or "bfloat16"),
    )


@dataclass(frozen=True, slots=True)
class Lora:
    """What an adapter is like; equal ones have equal bytes."""

    rank: int
    modules: tuple[str, ...] = ATTENTION + MLP
    dtype: DType = "float16"
    scale: float = 0.01
    """Standard deviation of the values; 0 makes them zeros, and answers those of the base model."""
    seed: int = 0

    def weight_bytes(self, decoder: Decoder) -> int:
        """Bytes of the matrices: rank times in + out features of every module in every layer.

        Raises:
            CalibrationError: a rank, module or data type that there is not.
        """
        if self.rank < 1 or self.dtype not in ITEM_BYTES:
            raise CalibrationError(f"adapter: no rank {self.rank} of {self.dtype}; 1 or more of {[*ITEM_BYTES]}")
        unknown = [module for module in self.modules if module not in decoder.features]
        if unknown or not self.modules:
            raise CalibrationError(f"adapter: no modules {unknown}; choose some of {', '.join(decoder.features)}")
        features = sum(sum(decoder.features[module]) for module in self.modules)
        return self.rank * features * decoder.layers * ITEM_BYTES[self.dtype]

    def file_bytes(self, decoder: Decoder) -> int:
        """Bytes that its files take on a disk, at most."""
        return self.weight_bytes(decoder) + (2 * decoder.layers * len(self.modules) + 8) * _HEADER_BYTES_PER_TENSOR


def needed_bytes(decoder: Decoder, adapters: Mapping[str, Lora], *, linked: bool = True) -> int:
    """Bytes that `write_adapters` will take on the disk, at most."""
    each = set(adapters.values()) if linked else adapters.values()
    return sum(lora.file_bytes(decoder) for lora in each)


def write_adapters(
    folder: Path, decoder: Decoder, adapters: Mapping[str, Lora], *, linked: bool = True
) -> dict[str, Path]:
    """Write each adapter into a folder of its name; return the folders.

    Equal adapters are hard links to one file, which the disk and its cache hold once: to time loading from a cold
    disk, say `linked=False`.

    Raises:
        CalibrationError: an adapter that cannot be, or no room on the disk; then nothing is written.
    """
    needed = needed_bytes(decoder, adapters, linked=linked)
    written: dict[Lora, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise CalibrationError(
                f"{folder}: {len(adapters)} adapters need {needed / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are free; "
                "take another folder, or fewer and smaller adapters"
            )
        for name, lora in adapters.items():
            _write(folder / name, decoder, lora, written.get(lora) if linked else None)
            written[lora] = folder / name
    except OSError as error:
        raise CalibrationError(f"{folder}: cannot write adapters: {error.strerror}") from error
    return {name: folder / name for name in adapters}


def _write(folder: Path, decoder: Decoder, lora: Lora, equal: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "",
        "r": lora.rank,
        "lora_alpha": lora.rank,
        "lora_dropout": 0.0,
        "target_modules": list(lora.modules),
        "bias": "none",
    }
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1))
    weights = folder / WEIGHTS
    weights.unlink(missing_ok=True)  # it may be a link, and writing would change the others
    if equal:
        os.link(equal / WEIGHTS, weights)
    else:
        save_file(_tensors(decoder, lora), weights)


def _tensors(decoder: Decoder, lora: Lora) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng([lora.seed, lora.rank])
    dtype: Any = lora.dtype
    if lora.dtype == "bfloat16":
        from ml_dtypes import bfloat16

        dtype = bfloat16
    tensors = {}
    for layer in range(decoder.layers):
        for module in lora.modules:
            block = "self_attn" if module in ATTENTION else "mlp"
            inputs, outputs = decoder.features[module]
            for matrix, shape in (("A", (lora.rank, inputs)), ("B", (outputs, lora.rank))):
                values = rng.standard_normal(shape, dtype=np.float32) if lora.scale else np.zeros(shape, np.float32)
                name = f"base_model.model.model.layers.{layer}.{block}.{module}.lora_{matrix}.weight"
                tensors[name] = (np.float32(lora.scale) * values).astype(dtype)
    return tensors

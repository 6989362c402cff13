"""Weights beside a configuration: what vLLM would refuse of them, and what it could not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.discovery.adapters.folders import scan
from tests.advisor.discovery.test_folders import write


def safetensors(*names: str, cut: int = 0) -> bytes:
    header = json.dumps(
        {"__metadata__": {"format": "pt"}}
        | {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]} for i, name in enumerate(names)}
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * len(names) - cut)


Q = "base_model.model.model.layers.0.self_attn.q_proj."
FINE = (
    f"{Q}lora_A.weight", f"{Q}lora_B.weight", "base_model.model.model.embed_tokens.lora_embedding_A",
    "base_model.model.model.embed_tokens.base_layer.weight", "base_model.model.score.weight",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        *((each, False) for each in FINE),
        ("base_model.model.model.embed_tokens.weight", True),
        ("base_model.model.lm_head.weight", True),
        (f"{Q}lora_magnitude_vector", True),
        (f"{Q}lora_B.bias", True),
        ("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta", True),
        ("base_model.model.model.layers.0.input_layernorm.weight", True),
    ],
)
def test_weights_that_are_no_loras_are_refused_by_name(name: str, foreign: bool, tmp_path: Path) -> None:
    (write(tmp_path / "sql") / "adapter_model.safetensors").write_bytes(safetensors(FINE[0], name))
    told = scan([tmp_path], None)
    assert [each.name for each in told.adapters] == ([] if foreign else ["sql"])
    assert [name in each.reason for each in told.left_out] == ([True] if foreign else [])
    assert not any("could not load" in note for note in told.notes)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("adapter_model.safetensors", b"", "empty files"),
        ("adapter_model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        ("adapter_model.safetensors", safetensors(*FINE, cut=1), "cut short"),
        ("adapter_model.safetensors", b"\xff" * 100, "no safetensors file"),
        ("adapter_model.safetensors", (20).to_bytes(8, "little") + b"[" * 20, "no safetensors file"),
        ("adapter_model.safetensors", safetensors(*FINE)[:20], "no safetensors file"),
        ("adapter_model.bin", b"", "empty files"),
        ("adapter_model.bin", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("adapter_model.bin", b"PK\x03\x04", None),
        ("adapter_model-00001-of-00002.safetensors", safetensors(*FINE), "several files"),
        ("README.md", b"", "no weights beside"),
        ("adapter_model.safetensors", None, "a link to nothing"),
    ],
)
def test_weights_that_cannot_be_loaded_are_told(
    file: str, content: bytes | None, said: str | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "sql")
    (folder / "adapter_model.safetensors").unlink()
    if content is None:
        (folder / file).symlink_to("../../blobs/1")
    else:
        (folder / file).write_bytes(content)
    told = scan([tmp_path], None)
    assert [each.name for each in told.adapters] == ["sql"]
    assert [said is not None and said in note for note in told.notes if "vLLM could not load" in note] == (
        [] if said is None else [True]
    )

"""Dummy adapters: PEFT's names and shapes, known sizes, one file for equal ones, none without room."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from calibrate.dummy_model import Shape, write_model
from calibrate.errors import CalibrationError
from calibrate.live.server.adapters import Decoder, Lora, needed_bytes, read_decoder, write_adapters

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
}


@pytest.fixture
def tiny(tmp_path: Path) -> Decoder:
    return read_decoder(
        write_model(tmp_path / "model", Shape(hidden_size=128, intermediate_size=256, num_hidden_layers=2))
    )


def _decoder(folder: Path, **changes: Any) -> Decoder:
    (folder / "config.json").write_text(json.dumps({**LLAMA_8B, **changes}))
    return read_decoder(folder)


def _weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "adapter_model.safetensors")


def test_llama_8b_of_rank_16_has_84_mb(tmp_path: Path) -> None:
    decoder = _decoder(tmp_path)
    assert decoder.features["k_proj"] == (4096, 1024)
    assert decoder.features["down_proj"] == (14336, 4096)
    assert Lora(16).weight_bytes(decoder) == 2 * 41_943_040  # the parameters that PEFT counts


def test_heads_may_be_wider_than_the_model(tmp_path: Path) -> None:
    decoder = _decoder(tmp_path, head_dim=256)
    assert decoder.features["q_proj"] == (4096, 8192)
    assert decoder.features["o_proj"] == (8192, 4096)


def test_shapes_names_and_settings_are_pefts(tiny: Decoder, tmp_path: Path) -> None:
    (folder,) = write_adapters(tmp_path, tiny, {"one": Lora(8)}).values()
    weights = _weights(folder)
    assert len(weights) == 2 * 2 * 7
    prefix = "base_model.model.model.layers.1"
    assert weights[f"{prefix}.self_attn.v_proj.lora_A.weight"].shape == (8, 128)
    assert weights[f"{prefix}.self_attn.v_proj.lora_B.weight"].shape == (64, 8)
    assert weights[f"{prefix}.mlp.down_proj.lora_A.weight"].shape == (8, 256)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 8, 8)
    assert set(settings["target_modules"]) == set(tiny.features)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_values_are_small_and_the_seeds(tiny: Decoder, tmp_path: Path, dtype: Any) -> None:
    kinds = {"a": Lora(4, dtype=dtype), "b": Lora(4, dtype=dtype, seed=1), "zero": Lora(4, dtype=dtype, scale=0)}
    folders = write_adapters(tmp_path / "first", tiny, kinds)
    again = write_adapters(tmp_path / "second", tiny, kinds)
    first = {name: _weights(folder) for name, folder in folders.items()}
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    assert first["a"][name].dtype.name == dtype
    assert np.std(first["a"][name].astype(np.float64)) == pytest.approx(0.01, rel=0.1)
    assert not np.array_equal(first["a"][name], first["b"][name])
    assert not first["zero"][name].any()
    for adapter, folder in again.items():
        assert (folder / "adapter_model.safetensors").read_bytes() == (
            folders[adapter] / "adapter_model.safetensors"
        ).read_bytes()


def test_equal_ones_share_a_file_unless_told_otherwise(tiny: Decoder, tmp_path: Path) -> None:
    kinds = {**{f"a{i}": Lora(8) for i in range(5)}, "other": Lora(4)}
    linked = write_adapters(tmp_path / "linked", tiny, kinds)
    apart = write_adapters(tmp_path / "apart", tiny, kinds, linked=False)
    assert len({(folder / "adapter_model.safetensors").stat().st_ino for folder in linked.values()}) == 2
    assert len({(folder / "adapter_model.safetensors").stat().st_ino for folder in apart.values()}) == 6
    assert needed_bytes(tiny, kinds) < needed_bytes(tiny, kinds, linked=False) / 2
    for folder, count in ((tmp_path / "linked", 2), (tmp_path / "apart", 6)):
        sizes = {file.stat().st_ino: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
        assert sum(sizes.values()) <= needed_bytes(tiny, kinds, linked=count == 2)


def test_writing_one_anew_leaves_those_linked_to_it(tiny: Decoder, tmp_path: Path) -> None:
    folders = write_adapters(tmp_path, tiny, {"a": Lora(8), "b": Lora(8)})
    before = (folders["b"] / "adapter_model.safetensors").read_bytes()
    write_adapters(tmp_path, tiny, {"a": Lora(4)})
    assert (folders["b"] / "adapter_model.safetensors").read_bytes() == before


def test_without_room_nothing_is_written(tiny: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**20))
    with pytest.raises(CalibrationError, match=r"need 0\.\d+ GiB, 0\.00 GiB are free"):
        write_adapters(tmp_path / "full", tiny, {f"a{i}": Lora(64, seed=i) for i in range(100)})
    assert list((tmp_path / "full").iterdir()) == []


def test_some_modules_only(tiny: Decoder, tmp_path: Path) -> None:
    (folder,) = write_adapters(tmp_path, tiny, {"one": Lora(8, modules=("q_proj",))}).values()
    assert len(_weights(folder)) == 2 * 2


@pytest.mark.parametrize(
    ("lora", "complaint"),
    [
        (Lora(0), "rank 0"),
        (Lora(8, modules=("query",)), r"\['query'\].*q_proj"),
        (Lora(8, dtype="int8"), "int8"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_told(tiny: Decoder, tmp_path: Path, lora: Lora, complaint: str) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        write_adapters(tmp_path, tiny, {"one": lora})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "not the configuration"),
        ("{}", "hidden_size is missing"),
        (json.dumps({**LLAMA_8B, "num_local_experts": 8}), "num_local_experts: a mixture"),
    ],
)
def test_a_model_that_is_no_plain_decoder_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CalibrationError, match=complaint):
        read_decoder(tmp_path)


def test_the_tiny_model_needs_sizes_that_vllm_takes(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="multiple of 32"):
        write_model(tmp_path, Shape(head_dim=50))

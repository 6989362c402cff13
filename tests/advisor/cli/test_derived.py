"""Any model on any GPU through the installed command: what was not measured is derived, and says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRAFFIC = """
[lengths]
input = { mean = 223, std = 191 }
output = { mean = 196, std = 181 }

[[adapters]]
name = "tenant"
count = 128
rank = 16
rate = 0.05
source = "/adapters/tenant"
"""
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
FP8 = ("tensor_parallel = 2", 'quantization = "fp8"')


def advisor(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "advisor", *map(str, words)], capture_output=True, text=True, check=False
    )


def inventory(folder: Path, model: str, gpu: str, *keys: str) -> Path:
    path = folder / "inventory.toml"
    named = gpu if "=" in gpu else f'gpu = "{gpu}"'
    path.write_text("\n".join([f'model = "{model}"', named, *keys, TRAFFIC]))
    return path


def answer(path: Path) -> dict[str, Any]:
    done = advisor("recommend", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_answer_for_a_pair_that_nobody_measured(tmp_path: Path) -> None:
    path = inventory(
        tmp_path, "Qwen/Qwen2.5-14B-Instruct", "NVIDIA L40S", "tensor_parallel = 2", 'quantization = "fp8"'
    )
    found = answer(path)
    assert found["pair"] == "qwen2.5-14b-instruct-fp8--l40s-x2" and found["gpu"] == "l40s"
    assert found["measured"] == "derived, not measured" and found["vllm"].startswith("0.33")
    assert {"--tensor-parallel-size=2", "--quantization=fp8"} <= set(found["args"])
    admission, expected = found["admission"], found["expected"]
    assert 0 < admission["adapters"] <= admission["adapters_if_right"] <= 128
    for name in ("itl_ms", "ttft_ms", "kv_capacity_tokens"):
        low, high = expected[f"{name}_range"]
        assert low <= expected[name] <= high and low < high
    assert found["uncertainty"]["decisive"] and found["uncertainty"]["measured_by"]
    text = advisor("recommend", path).stdout
    assert "derived, not measured" in text and "least known" in text and "one server of 2 GPUs" in text


def test_figures_of_a_derived_pair_say_which_end_they_are_of(tmp_path: Path) -> None:
    path = inventory(tmp_path, LLAMA, "l40s")
    found, text = answer(path), advisor("recommend", path, "--chart").stdout
    assert (
        found["uncertainty"]["admitted_by"] == "the careful end" and found["uncertainty"]["expected_of"] == "the middle"
    )
    for title in ("What binds", "What would help", "Further flags", "Why"):
        assert f"\n{title} at the careful end" in text
    assert "\nExpected of the middle: " in text and "as adapters are added at the careful end" in text
    (load,) = re.findall(r"^  load +(.*)", text, re.MULTILINE)
    assert "limit" in load and "what nine of ten such servers do no worse than" in " ".join(text.split())
    measured = advisor("recommend", inventory(tmp_path, LLAMA, "h100-64gb")).stdout
    assert "careful end" not in measured and "the middle" not in measured


def test_what_was_measured_carries_no_interval_and_the_current_version_does(tmp_path: Path) -> None:
    measured = answer(inventory(tmp_path, LLAMA, "h100-64gb"))
    assert "uncertainty" not in measured and "itl_ms_range" not in measured["expected"]
    current = answer(inventory(tmp_path, LLAMA, "h100-64gb", 'vllm = "0.33"'))
    assert current["vllm"] == "0.33" and current["measured"].startswith("derived") and "uncertainty" in current


def test_a_version_that_is_not_known_yet_is_said_to_be(tmp_path: Path) -> None:
    for version, said in (("0.33", False), ("0.33.9", False), ("0.99", True), ("1.0", True)):
        found = answer(inventory(tmp_path, LLAMA, "a100-80gb", f'vllm = "{version}"'))
        assert any(f"vLLM {version} is newer than 0.33.0" in each for each in found["warnings"]) == said


def test_a_model_by_its_configuration_and_a_gpu_by_its_data_sheet(tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    own = 'gpu = { name = "our card", memory_gib = 23.5, bandwidth_gb_s = 1008, bf16_tflops = 165, like = "l40s" }'
    keys = ('model_config = "config.json"', 'kv_cache_dtype = "fp8"')
    found = answer(inventory(tmp_path, "our/own-8b", own, *keys))
    assert found["model"] == "our/own-8b" and found["gpu"] == "our card"
    assert "--kv-cache-dtype=fp8" in found["args"]
    assert any("our card are yours" in each for each in found["warnings"])
    (tmp_path / "config.json").write_text(json.dumps({**config, "kv_lora_rank": 512}))
    done = advisor("recommend", tmp_path / "inventory.toml")
    assert done.returncode == 2 and "multi-head latent attention" in done.stderr and len(done.stderr.splitlines()) == 1


GEMMA = {
    "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504, "num_attention_heads": 32,
    "num_hidden_layers": 62, "num_key_value_heads": 16, "head_dim": 128, "sliding_window": 1024,
}  # fmt: skip
"""Of google/gemma-3-27b-it, without what its class has."""


def test_windows_are_told_by_name_and_by_file_and_nobody_says_what_hangs_on_them(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": GEMMA}))
    by_name = answer(inventory(tmp_path, "google/gemma-3-27b-it", "h100-80gb"))
    by_file = answer(inventory(tmp_path, "google/gemma-3-27b-it", "h100-80gb", 'model_config = "config.json"'))
    assert by_name["warnings"] == by_file["warnings"] and by_name["flags"] == by_file["flags"]
    told = " ".join(by_name["warnings"])
    assert "52 of 62 layers look back over a window of 1,024 tokens only" in told
    assert "vLLM would not start if all its layers looked back all the way: " in told and "not start:" not in told
    path = inventory(tmp_path, "google/gemma-3-27b-it", "h100-80gb")
    (tmp_path / "serve.sh").write_text("vllm serve google/gemma-3-27b-it --enable-lora --max-loras 16\n")
    assert "AD104" not in advisor("check", tmp_path / "serve.sh", "--inventory", path).stdout
    (tmp_path / "serve.sh").write_text("vllm serve google/gemma-3-27b-it --enable-lora --max-loras 200\n")
    assert "AD104" in advisor("check", tmp_path / "serve.sh", "--inventory", path).stdout


def test_a_configuration_of_another_model_is_not_answered_as_measured(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**GEMMA, "num_hidden_layers": 20}))
    found = answer(inventory(tmp_path, LLAMA, "h100-64gb", 'model_config = "config.json"'))
    assert found["measured"].startswith("derived")
    assert any("as the catalogue has it" in each for each in found["warnings"])


@pytest.mark.parametrize(
    ("model", "gpu", "said"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "H100", "would fit: tensor_parallel = 2, or"),
        # Eight bits that take two GPUs as well help nobody.
        ("microsoft/phi-4", "L4", "would fit: tensor_parallel = 2, or a checkpoint in 4 bits (AWQ, GPTQ)"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "h200", "calibrate run measures it"),
        ("nobody/knows-it", "h200", "model_config"),
        (LLAMA, "RTX 2080", "[gpu]"),
        ("nvidia/Llama-3.1-8B-Instruct-NVFP4", "h200", "NVFP4 are not derived"),
    ],
)
def test_what_cannot_be_answered_is_one_line_with_the_way_out(tmp_path: Path, model: str, gpu: str, said: str) -> None:
    done = advisor("recommend", inventory(tmp_path, model, gpu))
    assert done.returncode == 2 and done.stdout == ""
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_what_is_rendered_is_launched_so_and_found_in_order(tmp_path: Path) -> None:
    path = inventory(tmp_path, "meta-llama/Llama-3.3-70B-Instruct", "h100-80gb", "tensor_parallel = 4", 'vllm = "0.33"')
    for template, tells in (("compose", "count: 4"), ("kubernetes", "nvidia.com/gpu: 4"), ("serve", "size=4")):
        done = advisor("render", path, "--template", template, "-o", tmp_path / template)
        assert done.returncode == 0, done.stderr
        (file,) = (tmp_path / template).iterdir()
        assert "tensor-parallel-size=4" in file.read_text() and tells in file.read_text()
        checked = advisor("check", file, "--inventory", path)
        assert checked.returncode == 0, checked.stdout


def test_placing_counts_servers_and_keeps_how_they_are_run(tmp_path: Path) -> None:
    path = inventory(tmp_path, "Qwen/Qwen2.5-14B-Instruct", "l40s", "tensor_parallel = 2")
    done = advisor("place", path, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all("--tensor-parallel-size=2" in each["args"] for each in found["assignments"])
    assert any("spans 2 GPUs" in each for each in found["warnings"])
    assert any("nobody measured" in each for each in found["warnings"])
    before = tmp_path / "before.json"
    before.write_text(done.stdout)
    assert advisor("place", path, "--previous", before, "--format", "json").returncode == 0


def test_pairs_tells_what_is_derived() -> None:
    assert "any of" in advisor("pairs").stdout
    found = json.loads(advisor("pairs", "--derived", "--format", "json").stdout)
    known = {each["gpu"] for each in found["gpus"]}
    assert len(found["models"]) >= 40 and {"l40s", "a100-80gb", "mi300x", "rtx-4090"} <= known


def test_the_rules_of_a_derived_pair() -> None:
    done = advisor("explain", "qwen3-8b--l40s")
    assert done.returncode == 0 and "load_limit" in done.stdout
    assert advisor("explain", "qwen3-8b--rtx-2080").returncode == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("", "tensor_parallel_size is 1, the inventory is of a server with tensor_parallel 2"),
        ("--tensor-parallel-size 2 --quantization awq", "quantization is awq"),
        ("--tensor-parallel-size 2 --kv-cache-dtype fp8", "kv_cache_dtype is fp8"),
        ("--tensor-parallel-size 2 --quantization fp8", None),
    ],
)
def test_a_file_of_a_server_that_is_run_otherwise(tmp_path: Path, flags: str, said: str | None) -> None:
    path = inventory(tmp_path, "Qwen/Qwen2.5-14B-Instruct", "l40s", *FP8)
    (tmp_path / "serve.sh").write_text(f"vllm serve Qwen/Qwen2.5-14B-Instruct --enable-lora --max-loras 64 {flags}\n")
    found = advisor("check", tmp_path / "serve.sh", "--inventory", path, "--select", "AD409").stdout
    assert (said in found) if said else ("AD409" not in found)

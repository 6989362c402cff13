"""Folders of PEFT adapters: ranks as vLLM reads them, and what it would refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.discovery.adapters.folders import CONFIG, scan
from advisor.discovery.adapters.peft import NotServedError, rank_of
from advisor.errors import InputError

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def config(**changes: Any) -> dict[str, Any]:
    plain = {
        "base_model_name_or_path": LLAMA, "bias": "none", "init_lora_weights": True, "lora_alpha": 32,
        "modules_to_save": None, "peft_type": "LORA", "r": 16, "rank_pattern": {},
        "target_modules": ["q_proj", "v_proj"], "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    return {key: value for key, value in (plain | changes).items() if value is not ...}


def write(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config(**changes)))
    (folder / "adapter_model.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("changes", "rank"),
    [
        ({}, 16),
        ({"r": 8, "rank_pattern": {"self_attn.q_proj": 64, "layers.31.mlp.down_proj": 32}}, 64),
        ({"r": 64, "rank_pattern": {"q_proj": 8}}, 64),
        ({"use_rslora": True}, 16),
        ({"target_modules": r".*\.(q_proj|v_proj)$"}, 16),
        ({"target_modules": "all-linear", "layers_to_transform": [1, 2]}, 16),
        ({"modules_to_save": ["classifier", "score"]}, 16),
        ({"init_lora_weights": "gaussian"}, 16),
        ({"peft_type": ..., "bias": ..., "rank_pattern": ..., "use_dora": ..., "modules_to_save": ...}, 16),
        ({"r": 512}, 512),
        ({"init_lora_weights": "lora_ga"}, 16),
        ({"init_lora_weights": "EVA", "layer_replication": None, "use_qalora": False, "use_bdlora": None}, 16),
        ({"target_modules": None, "target_parameters": ["mlp.experts.gate_up_proj"]}, 16),
        ({"lora_alpha": 0.5, "alpha_pattern": {"q_proj": 64}, "rank_pattern": None}, 16),
        ({"exclude_modules": ["lm_head"], "modules_to_save": []}, 16),
    ],
)
def test_the_rank_is_what_vllm_reads(changes: dict[str, Any], rank: int) -> None:
    assert rank_of(config(**changes)) == rank


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["embed_tokens", "lm_head"]}, "embed_tokens, lm_head"),
        ({"modules_to_save": "lm_head"}, "lm_head"),
        ({"bias": "all"}, "bias"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"init_lora_weights": "pissa_niter_16"}, "PiSSA"),
        ({"init_lora_weights": "olora"}, "OLoRA"),
        ({"init_lora_weights": "corda"}, "CorDA"),
        ({"init_lora_weights": "loftq"}, "LoftQ"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"r": 1024}, "rank 1024"),
        ({"rank_pattern": {"q_proj": 513}}, "rank 513"),
        ({"r": ...}, "r is missing"),
        ({"lora_alpha": ...}, "lora_alpha is missing"),
        ({"target_modules": ...}, "target_modules is missing"),
        ({"lora_alpha": "32"}, "lora_alpha is '32'"),
        ({"lora_alpha": None}, "lora_alpha is 'None'"),
        ({"r": None}, "r is 'None'"),
        ({"r": -8}, "r is '-8'"),
        ({"bias": None}, "bias"),
        ({"init_lora_weights": "pissa"}, "PiSSA"),
        ({"init_lora_weights": "true"}, "init_lora_weights is 'true'"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication"),
        ({"use_bdlora": {"nblocks": 2}}, "use_bdlora"),
        ({"use_qalora": True}, "use_qalora"),
        ({"modules_to_save": [["lm_head"]]}, "modules_to_save"),
        ({"r": "16"}, "r is '16'"),
        ({"r": 0}, "r is '0'"),
        ({"r": True}, "r is 'True'"),
        ({"rank_pattern": {"q_proj": 1.5}}, "rank_pattern"),
        ({"peft_type": "LOHA"}, "no LoRA but LOHA"),
        ({"peft_type": "ADALORA"}, "no LoRA but ADALORA"),
        ({"peft_type": "PROMPT_TUNING", "r": ...}, "no LoRA but PROMPT_TUNING"),
    ],
)
def test_what_vllm_refuses_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(NotServedError) as refusal:
        rank_of(config(**changes))
    assert said in str(refusal.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*sorted(config()), "lora_bias", "alora_invocation_tokens"]), json_values))
def test_any_configuration_has_a_rank_or_a_reason(changes: dict[str, Any]) -> None:
    try:
        rank = rank_of({**config(), **changes})
    except NotServedError as error:
        assert "\n" not in str(error)
    else:
        assert 1 <= rank <= 512


@pytest.mark.parametrize(
    ("targets", "modules"),
    [
        (["v_proj", "q_proj"], ("q_proj", "v_proj")),
        (["model.layers.0.self_attn.o_proj", "model.layers.1.self_attn.o_proj"], ("o_proj",)),
        (["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], ()),
        ("all-linear", ()),
        (r".*\.(q_proj|v_proj)$", ()),
        ([], ()),
        ([1], ()),
        (["layers.0"], ()),
    ],
)
def test_modules_are_told_where_they_are_few(targets: Any, modules: tuple[str, ...], tmp_path: Path) -> None:
    write(tmp_path / "sql", target_modules=targets)
    (told,) = scan([tmp_path], None).adapters
    assert told.target_modules == modules


def found(*roots: Path, model: str | None = None) -> dict[str, int | None]:
    return {each.name: each.rank for each in scan(roots, model).adapters}


def test_adapters_are_named_after_their_folders(tmp_path: Path) -> None:
    write(tmp_path / "legal")
    write(tmp_path / "team" / "support", r=8)
    assert found(tmp_path) == {"legal": 16, "support": 8}
    assert found(tmp_path / "legal") == {"legal": 16}
    assert found(tmp_path / "legal" / ".." / "team" / "support") == {"support": 8}


def test_two_folders_of_one_name_keep_what_tells_them_apart(tmp_path: Path) -> None:
    for team in ("a", "b"):
        write(tmp_path / team / "final")
    assert found(tmp_path) == {"a/final": 16, "b/final": 16}


def test_checkpoints_inside_an_adapter_are_stages_of_it(tmp_path: Path) -> None:
    write(tmp_path / "legal")
    for stage in (500, 1000):
        write(tmp_path / "legal" / f"checkpoint-{stage}", r=8)
    told = scan([tmp_path], None)
    assert [(each.name, each.rank) for each in told.adapters] == [("legal", 16)]
    assert any("checkpoint-500" in note for note in told.notes)


def test_the_last_of_checkpoints_alone_is_the_adapter(tmp_path: Path) -> None:
    for stage, rank in ((500, 8), (1000, 16), (900, 32)):
        write(tmp_path / "legal" / f"checkpoint-{stage}", r=rank)
    assert found(tmp_path) == {"legal": 16}


@pytest.mark.parametrize("linked", [True, False])
def test_a_hub_cache_gives_the_hubs_names(tmp_path: Path, linked: bool) -> None:
    cache = tmp_path / "hub" / "models--org--legal-0"
    snapshot = cache / "snapshots" / "0dfa347e"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0dfa347e")
    (cache / "blobs" / "9f2c").write_text(json.dumps(config()))
    if linked:
        (snapshot / CONFIG).symlink_to("../../blobs/9f2c")
    else:  # as a copy that knows no links has it
        (snapshot / CONFIG).write_text("../../blobs/9f2c")
    write(cache / "snapshots" / "00older", r=8)
    (told,) = scan([tmp_path], None).adapters
    assert (told.name, told.rank, told.source) == ("org/legal-0", 16, "org/legal-0")


def test_a_repository_of_several_adapters_and_one_without_an_owner_are_found_in_a_cache(tmp_path: Path) -> None:
    several = write(tmp_path / "models--org--many" / "snapshots" / "1" / "sql", r=8)
    write(tmp_path / "models--org--many" / "snapshots" / "1" / "legal")
    write(tmp_path / "models--mine" / "snapshots" / "2", r=32)
    told = {each.name: (each.rank, each.source) for each in scan([tmp_path], None).adapters}
    assert told == {
        "sql": (8, str(several)), "legal": (16, str(several.parent / "legal")), "mine": (32, "mine")
    }  # fmt: skip


def test_a_text_in_a_cache_leads_to_its_own_blobs_alone(tmp_path: Path) -> None:
    secret = tmp_path / "blobs" / "secret"
    secret.parent.mkdir()
    secret.write_text(json.dumps(config(r=64)))
    snapshot = tmp_path / "models--org--legal" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / CONFIG).write_text("../../../blobs/secret")
    told = scan([tmp_path], None)
    assert not told.adapters and "not JSON" in told.left_out[0].reason


def test_another_base_is_told_and_left_out_and_a_quantised_one_is_not(tmp_path: Path) -> None:
    write(tmp_path / "ours")
    write(tmp_path / "packed", base_model_name_or_path="unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit")
    write(tmp_path / "other", base_model_name_or_path="Qwen/Qwen2.5-7B-Instruct")
    write(tmp_path / "local", base_model_name_or_path="/mnt/models/Llama/")
    told = scan([tmp_path], None)
    assert [each.name for each in told.adapters] == ["local", "ours", "packed"]
    assert told.model == LLAMA
    assert [("other" in each.where, "Qwen" in each.reason) for each in told.left_out] == [(True, True)]
    assert any("local path" in note for note in told.notes)
    assert [each.name for each in scan([tmp_path], "Qwen/Qwen2.5-7B-Instruct").adapters] == ["local", "other"]


def test_broken_files_are_told_and_the_others_found(tmp_path: Path) -> None:
    write(tmp_path / "fine")
    for name, text in (("cut", '{"r": 16, "lora_al'), ("list", "[1]"), ("deep", "[" * 100_000), ("empty", "")):
        (write(tmp_path / name) / CONFIG).write_text(text)
    (write(tmp_path / "binary") / CONFIG).write_bytes(b"\xff\xfe\x00")
    told = scan([tmp_path], None)
    assert [each.name for each in told.adapters] == ["fine"]
    assert len(told.left_out) == 5
    assert all("\n" not in each.reason for each in told.left_out)


def test_links_that_go_in_circles_end(tmp_path: Path) -> None:
    write(tmp_path / "legal")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "current").symlink_to(tmp_path / "legal")
    assert len(found(tmp_path)) == 1


def test_folders_without_adapters_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter here.*adapter_config\.json"):
        scan([tmp_path], None)
    with pytest.raises(InputError, match="no such folder"):
        scan([tmp_path / "none"], None)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        scan([tmp_path / "file"], None)


def test_a_link_to_a_configuration_that_is_missing_is_told(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--legal" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / CONFIG).symlink_to("../../blobs/9f2c")
    told = scan([tmp_path], None)
    assert not told.adapters and "a link to nothing" in told.left_out[0].reason


def test_of_several_revisions_the_one_with_an_adapter_is_taken(tmp_path: Path) -> None:
    cache = tmp_path / "models--org--legal"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("cut")
    (cache / "snapshots" / "cut").mkdir(parents=True)
    write(cache / "snapshots" / "whole", r=8)
    assert found(tmp_path) == {"org/legal": 8}


def test_a_folder_goes_by_its_own_name_and_not_by_that_of_a_link(tmp_path: Path) -> None:
    write(tmp_path / "legal")
    write(tmp_path / "store" / "9f2c")
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "current").symlink_to(tmp_path / "legal")
    (tmp_path / "adapters" / "sql").symlink_to(tmp_path / "store" / "9f2c")
    assert found(tmp_path) == {"legal": 16, "9f2c": 16}
    assert found(tmp_path / "adapters") == {"current": 16, "sql": 16}


def test_a_local_base_alone_is_compared_with_none_by_that_name(tmp_path: Path) -> None:
    write(tmp_path / "local", base_model_name_or_path="/mnt/models/Llama/")
    (note,) = (each for each in scan([tmp_path], None).notes if "local path" in each)
    assert "None" not in note and "/mnt/models/Llama/" in note


@pytest.mark.parametrize("sign", ["/", "\\"])
def test_a_path_into_a_hubs_cache_names_the_base_model(tmp_path: Path, sign: str) -> None:
    path = sign.join(("", "root", "hub", "models--{}", "snapshots", "0e9e39f2"))
    write(tmp_path / "ours", base_model_name_or_path=path.format(LLAMA.replace("/", "--")))
    write(tmp_path / "other", base_model_name_or_path=path.format("Qwen--Qwen2.5-7B-Instruct"))
    told = scan([tmp_path], LLAMA)
    assert [each.name for each in told.adapters] == ["ours"]
    assert "Qwen/Qwen2.5-7B-Instruct" in told.left_out[0].reason
    assert not any("local path" in note for note in told.notes)
    assert scan([tmp_path / "ours"], None).model == LLAMA


def test_a_mark_before_the_text_is_refused_as_vllms_reader_does(tmp_path: Path) -> None:
    (write(tmp_path / "sql") / CONFIG).write_text(json.dumps(config()), encoding="utf-8-sig")
    told = scan([tmp_path], None)
    assert not told.adapters and "BOM" in told.left_out[0].reason


def test_a_folder_or_a_pipe_called_like_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path / "fine")
    (tmp_path / "folder" / CONFIG).mkdir(parents=True)
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / CONFIG)
    told = scan([tmp_path], None)
    assert [each.name for each in told.adapters] == ["fine"]
    assert len(told.left_out) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "fine")
    closed = write(tmp_path / "closed")
    closed.chmod(mode)
    told = scan([tmp_path], None)
    closed.chmod(0o700)
    assert [each.name for each in told.adapters] == ["fine"]
    assert any("want of permission" in note and str(closed) in note for note in told.notes)

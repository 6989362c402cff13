"""However a server is written, it is one Deployment with equal settings, each found again in the file."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.deployment import Deployment, NotReadableError
from advisor.deploy.documents import read_document
from tests.advisor.deploy.structures import MODEL, SETTINGS, STRUCTURES, STYLES, Settings, Style


def said(deployment: Deployment) -> dict[str, str | bool | None]:
    """What counts of each setting, but for the model."""
    names = {flag.name for flag in deployment.flags} - {"model", "gpu_memory_utilization"}
    found: dict[str, str | bool | None] = dict.fromkeys(names, "")
    for name in names:
        flag = deployment.flag(name)
        assert flag is not None
        found[name] = flag.value.text if flag.value else True
    if "enable_lora" not in found and deployment.defaults.get("enable_lora"):
        found["enable_lora"] = True
    return found


@pytest.mark.parametrize("structure", STRUCTURES)
@settings(max_examples=30)
@given(server=SETTINGS, style=STYLES, spelling=st.sampled_from(["=", "_", " "]))
def test_one_server_in_every_structure(structure: str, server: Settings, style: Style, spelling: str) -> None:
    write, ending = STRUCTURES[structure]
    text = write(server, style, spelling)
    found = read_document(text, f"x.{ending}")
    assert len(found) == 1, text
    deployment = found[0]
    assert said(deployment) == {name: value if value is True else str(value) for name, value in server.items()}, text
    assert deployment.model is not None
    assert deployment.model.text in (MODEL, f"hf://{MODEL}")
    assert not deployment.problems
    assert not deployment.partial
    for flag in deployment.flags:
        if flag.value is not None:
            assert text[flag.value.place.start : flag.value.place.end] == flag.value.text, text
            assert flag.value.place.line == text.count("\n", 0, flag.value.place.start) + 1


@pytest.mark.parametrize("structure", [name for name in STRUCTURES if name != "terraform_variables"])
@settings(max_examples=30)
@given(server=SETTINGS, style=STYLES, spelling=st.sampled_from(["=", "_", " "]))
def test_a_missing_setting_is_written_where_it_belongs(
    structure: str, server: Settings, style: Style, spelling: str
) -> None:
    write, ending = STRUCTURES[structure]
    without = {name: value for name, value in server.items() if name != "max_loras"}
    text = write(without, style, spelling)
    before = read_document(text, f"x.{ending}")[0]
    assert "max_loras" not in said(before)
    if before.insertion is None:
        return
    insertion = before.insertion
    name = insertion.names.get("max_loras", "max_loras")
    parts = {"{flag}": "--max-loras", "{name}": name, "{value}": "7"}
    written = re.sub(r"\{(?:flag|name|value)\}", lambda found: parts[found[0]], insertion.template)
    new = text[: insertion.place.start] + written + text[insertion.place.start :]
    after = read_document(new, f"x.{ending}")
    assert len(after) == 1, new
    assert said(after[0]) == said(before) | {"max_loras": "7"}, new
    assert not after[0].problems


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_has_a_place_for_what_is_missing(structure: str) -> None:
    write, ending = STRUCTURES[structure]
    server: Settings = {"enable_lora": True, "max_lora_rank": 16, "max_num_seqs": 9}
    for flow in (None, False):
        text = write(server, Style(flow, 2, None), " ")
        assert read_document(text, f"x.{ending}")[0].insertion or structure == "terraform_variables", text


@given(st.data(), st.sampled_from(sorted(STRUCTURES)))
def test_a_damaged_file_is_read_or_refused(data: st.DataObject, structure: str) -> None:
    write, ending = STRUCTURES[structure]
    text = write({"enable_lora": True, "max_loras": 4, "max_lora_rank": 16}, Style(None, 2, None), "=")
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 6))
    put = data.draw(st.text(st.sampled_from("{}[]:,-\"'$()<>|&*! \n\t#=~\\a1\x00é\r"), max_size=4))
    damaged = text[:at] + put + text[at + cut :]
    try:
        for deployment in read_document(damaged, f"x.{ending}"):
            for flag in deployment.flags:
                assert 0 <= flag.place.start <= flag.place.end <= len(damaged)
    except NotReadableError as error:
        assert "\n" not in str(error)

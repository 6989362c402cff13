"""What a search of a tree takes for a server, and where it says that one stands."""

from __future__ import annotations

import pytest

from advisor.deploy.finder import find


@pytest.mark.parametrize("key", ["description", "summary", "message", "help"])
def test_what_people_read_starts_no_server(key: str) -> None:
    assert find(f"annotations: {{{key}: vllm serve has requests waiting; raise --max-loras}}\n", "rules.yaml") == []


def test_what_kserve_lacks_belongs_in_its_lora_section() -> None:
    text = """apiVersion: serving.kserve.io/v1alpha2
kind: LLMInferenceService
spec:
  model:
    uri: hf://org/M
    name: M
    lora:
      adapters: [{name: a, uri: "hf://org/a"}]
"""
    (found,) = find(text, "llm.yaml")
    assert found.place.line == 7

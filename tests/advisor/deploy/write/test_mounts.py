"""Containers find adapters that lie on the machine at the paths that the launch file names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write.mounts import mounts
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.errors import InputError
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import HOSTILE, text, undollared
from tests.advisor.deploy.write.test_templates import read

Mounted = list[tuple[str, str]]
"""Each folder of the machine, and where the container finds it."""


def bound(service: dict[str, Any]) -> Mounted:
    binds = [volume for volume in service["volumes"] if volume != "models:/models"]
    assert all(bind["type"] == "bind" and bind["read_only"] for bind in binds)
    return [(undollared(bind["source"]), undollared(bind["target"])) for bind in binds]


def of_pod(volumes: Sequence[dict[str, Any]], volume_mounts: Sequence[dict[str, Any]]) -> Mounted:
    host = {volume["name"]: volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume}
    here = [each for each in volume_mounts if each["mountPath"] != "/dev/shm"]
    assert all(each["readOnly"] for each in here)
    assert len(here) == len(host)
    return [(host[each["name"]], each["mountPath"]) for each in here]


def kubernetes(document: dict[str, Any]) -> Mounted:
    pod = document["spec"]["template"]["spec"]
    return of_pod(pod["volumes"], pod["containers"][0]["volumeMounts"])


def llm_d(document: dict[str, Any]) -> Mounted:
    decode = document["decode"]
    return of_pod(decode.get("volumes", []), decode["containers"][0].get("volumeMounts", []))


def production_stack(document: dict[str, Any]) -> Mounted:
    (spec,) = document["servingEngineSpec"]["modelSpec"]
    return of_pod(spec.get("extraVolumes", []), spec.get("extraVolumeMounts", []))


CONTAINERS: dict[str, Callable[[dict[str, Any]], Mounted]] = {
    "compose": lambda document: bound(document["services"]["vllm"]),
    "kubernetes": kubernetes,
    "llm-d": llm_d,
    "production-stack": production_stack,
}
COMMENTED = ("vllm-config", "lora-syncer", "load-adapters")
"""What loads adapters in a container that another file makes."""


def mounted(name: str, rendered: str) -> Mounted:
    read(name, rendered)
    return CONTAINERS[name](next(iter(yaml.safe_load_all(rendered))))


@pytest.mark.parametrize("options", [AS_MEASURED, Options(at_run_time=True)], ids=["at-start", "at-run-time"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_folders_of_local_adapters_are_mounted_where_they_are(pair: Pair, name: str, options: Options) -> None:
    sources = {
        **{"a": "/adapters/a", "b": "/adapters/b", "c": "/opt/lora/c", "d": "/opt/d"},
        **{"e": "org/e", "f": "s3://bucket/f", "g": "./g", "h": None},
    }
    rendered, _ = text(name, pair, list(sources), sources, options)
    folders = ["/adapters", "/opt/d", "/opt/lora"]
    assert mounted(name, rendered) == [(folder, folder) for folder in folders]


@pytest.mark.parametrize("name", CONTAINERS)
def test_adapters_of_a_hub_need_no_mount(pair: Pair, name: str) -> None:
    rendered, _ = text(name, pair, ["a", "b"], {"a": "org/a", "b": None})
    assert mounted(name, rendered) == []
    assert "odes that vLLM" not in rendered


@pytest.mark.parametrize("name", COMMENTED)
def test_what_makes_no_container_tells_what_has_to_be_mounted(pair: Pair, name: str) -> None:
    rendered, _ = text(name, pair, ["a", "b"], {"a": "/adapters/new\nline/a", "b": "/more/b"})
    lines = rendered.splitlines()
    at = next(i for i, line in enumerate(lines) if "mounted" in line)
    assert lines[at + 1 : at + 3] == ["#   /adapters/new\\nline", "#   /more"]
    assert "mounted" not in text(name, pair, ["a"], {"a": "org/a"})[0]


PARTS = st.sampled_from([*HOSTILE, "a:b", "c d", "..", "models", "dev", "shm", "{{x}}"]).map(
    lambda part: part.strip("/")
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize("name", CONTAINERS)
@settings(max_examples=15, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=3, unique=True))
def test_any_path_is_mounted_at_itself_or_refused(pair: Pair, name: str, paths: list[str]) -> None:
    sources: dict[str, str | None] = {f"adapter-{i}": path for i, path in enumerate(paths)}
    try:
        rendered, _ = text(name, pair, list(sources), sources)
    except InputError as error:
        assert str(error).startswith(f"{name}: ")
        assert "mistake" not in str(error)
        assert any(odd in path for path in paths for odd in ("..", ":", "models", "dev/shm", "{{"))
        return
    found = mounted(name, rendered)
    assert [host for host, _ in found] == [here for _, here in found]
    assert all(any(f"{path}/".startswith(f"{host}/") for host, _ in found) for path in paths)


@pytest.mark.parametrize(
    ("name", "path", "told"),
    [
        ("kubernetes", "/adapters/a:b/c", "mounts no paths with ':'"),
        ("kubernetes", "/dev/shm", "cannot mount a folder there"),
        ("kubernetes", "/adapters/../b/c", "cannot mount a folder there"),
        ("compose", "/models", "cannot mount a folder there"),
        ("compose", "/", "cannot mount a folder there"),
    ],
)
def test_what_cannot_be_mounted_is_refused(pair: Pair, name: str, path: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        text(name, pair, ["a"], {"a": path})


def test_compose_mounts_paths_with_colons(pair: Pair) -> None:
    rendered, _ = text("compose", pair, ["a"], {"a": "/adapters/a:b/c"})
    assert mounted("compose", rendered) == [("/adapters/a:b", "/adapters/a:b")]


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        (["/a/x", "/a/b/y", "/ab/z"], ["/a", "/ab"]),
        (["/a", "/a/x"], ["/a"]),
        (["/b//x/", "/b/./y/."], ["/b"]),
        (["/usr/share/lora/x", "/usr/share/lora/y"], ["/usr/share/lora/x", "/usr/share/lora/y"]),
        (["/home/me/x", "/models/x", "/models/lora/y"], ["/home/me", "/models/lora", "/models/x"]),
    ],
)
def test_as_few_as_hide_nothing_of_an_image(paths: list[str], folders: list[str]) -> None:
    assert mounts(paths) == folders

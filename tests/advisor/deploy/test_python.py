"""vLLM servers in Python programs, of which nothing is run."""

from __future__ import annotations

import pytest

from advisor.deploy import finder
from advisor.deploy.deployment import Deployment, NotReadableError


def find(text: str) -> list[Deployment]:
    return finder.find(text, "serve.py")


def the_one(text: str) -> Deployment:
    (deployment,) = find(text)
    return deployment


def settings(deployment: Deployment) -> dict[str, str | None]:
    return {flag.name: flag.value.text if flag.value else "True" for flag in deployment.flags if flag.name != "model"}


FLAGS = {"enable_lora": "True", "max_loras": "8", "max_lora_rank": "16"}
LIST = '"--enable-lora", "--max-loras", "8", "--max-lora-rank=16"'
KEYWORDS = "enable_lora=True, max_loras=8, max_lora_rank=16"

SAME = {
    "list": f'subprocess.run(["vllm", "serve", "M", {LIST}])',
    "single quotes and lines": "p = Popen(['vllm', 'serve', 'M',\n  '--enable-lora',\n  '--max-loras', '8',\n"
    "  '--max-lora-rank', '16'])",
    "module": f'cmd = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "M", {LIST}]\nrun(cmd)',
    "constants": 'M, S, R = "M", 8, 16\n'
    'run(["vllm", "serve", M, "--enable-lora", "--max-loras", str(S), f"--max-lora-rank={R}"])',
    "added": 'cmd = ["vllm", "serve", "M"]\ncmd += ["--enable-lora", "--max-loras=8"]\ncmd.append("--max-lora-rank")\n'
    'cmd.extend(["16"])\nPopen(cmd)',
    "plus": 'BASE = ["vllm", "serve"]\n'
    'run(BASE + ["M", "--enable-lora"] + ["--max-loras", "8"] + ["--max-lora-rank=16"])',
    "stars": f"FLAGS = [{LIST}]\nrun(['vllm', 'serve', 'M', *FLAGS])",
    "exec": f'os.execvp("vllm", ["vllm", "serve", "M", {LIST}])',
    "separate": f'await asyncio.create_subprocess_exec("vllm", "serve", "M", {LIST})',
    "environment": 'S = os.environ.get("SLOTS", "8")\nrun(["vllm", "serve", "M", "--enable-lora", "--max-loras", S, '
    '"--max-lora-rank", os.getenv("RANK") or "16"])',
    "text": 'os.system("vllm serve M --enable-lora --max-loras 8 --max-lora-rank 16")',
    "text in parts": 'cmd = ("vllm serve M "\n  "--enable-lora --max-loras 8 "\n  "--max-lora-rank 16")\n'
    "run(cmd, shell=True)",
    "lines": 'run("""\nvllm serve M \\\n  --enable-lora \\\\\n  --max-loras 8 --max-lora-rank 16\n""", shell=True)',
    "f-string": 'S = 8\nrun(f"vllm serve M --enable-lora --max-loras {S} --max-lora-rank 16", shell=True)',
    "split": 'run("vllm serve M --enable-lora --max-loras 8 --max-lora-rank 16".split())',
    "shlex": "run(shlex.split('vllm serve M --enable-lora --max-loras 8 --max-lora-rank \"16\"'))",
    "join": f'run(" ".join(["vllm", "serve", "M", {LIST}]), shell=True)',
    "percent": 'run("vllm serve M --enable-lora --max-loras %d --max-lora-rank %s" % (8, "16"), shell=True)',
    "format": 'run("vllm serve M --enable-lora --max-loras {} --max-lora-rank {r}".format(8, r=16), shell=True)',
    "bash": f"run(['bash', '-lc', 'vllm serve M {'--enable-lora --max-loras 8 --max-lora-rank 16'}'])",
    "LLM": f'LLM("M", {KEYWORDS})',
    "engine arguments": f'AsyncLLM.from_engine_args(AsyncEngineArgs(model="M", {KEYWORDS}))',
    "attribute": "import vllm\n"
    'args = vllm.EngineArgs(model="M", enable_lora=True, max_lora_rank=16)\nargs.max_loras = 8',
    "dict": f'kwargs = dict({KEYWORDS})\nkwargs["model"] = "M"\nLLM(**kwargs)',
    "dict with more": 'base = {"enable_lora": True, "max_loras": 1}\n'
    'LLM(model="M", **{**base, "max_loras": 8}, max_lora_rank=2**4)',
    "langchain": 'VLLM(model="M", vllm_kwargs={"enable_lora": True, "max_loras": 8, "max_lora_rank": 16})',
    "class": 'class A:\n  S = 8\n  def __init__(self):\n    self.cmd = ["vllm", "serve", "M", "--enable-lora"]\n'
    '  def go(self):\n    run([*self.cmd, "--max-loras", str(self.S), "--max-lora-rank=16"])',
    "function": 'def command(slots, rank=16):\n  return ["vllm", "serve", "M", "--enable-lora", '
    'f"--max-loras={slots}", '
    '"--max-lora-rank", str(rank)]\n\ndef main():\n  run(command(8))\n\nif __name__ == "__main__":\n  main()',
    "returned": f'def command():\n  return ["vllm", "serve", "M", {LIST}]',
    "defaults": 'def serve(model: str = "M", slots: int = 8):\n'
    "  LLM(model=model, max_loras=slots, enable_lora=True, max_lora_rank=16)",
    "options": 'p = argparse.ArgumentParser()\np.add_argument("--slots", type=int, default=8)\nargs = p.parse_args()\n'
    'run(["vllm", "serve", "M", "--enable-lora", "--max-loras", str(args.slots), "--max-lora-rank=16"])',
    "ray": f'LLMConfig(model_loading_config=dict(model_id="x", model_source="M"), engine_kwargs=dict({KEYWORDS}))',
    "container": f'client.containers.run("i", image="vllm/vllm-openai", command=["--model", "M", {LIST}])',
    "environment of a container": 'Model(image_uri="x/djl-inference:lmi", env={"HF_MODEL_ID": "M", '
    '"OPTION_ENABLE_LORA": "true", '
    '"OPTION_ROLLING_BATCH": "vllm", "OPTION_MAX_LORAS": "8", "OPTION_MAX_LORA_RANK": "16"})',
    "loop": 'cmd = ["vllm", "serve", "M"]\nfor k, v in [("a", "b")]:\n  pass\n'
    'for f in ["--enable-lora", "--max-loras=8", '
    '"--max-lora-rank=16"]:\n  cmd.append(f)\nrun(cmd)',
    "for other programs": 'ENGINE_ARGS = {"model": "M", "enable_lora": True, "max_loras": 8, "max_lora_rank": 16}',
}


@pytest.mark.parametrize("program", SAME.values(), ids=SAME.keys())
def test_one_server_in_every_structure(program: str) -> None:
    found = the_one("import os, sys\n" + program)
    assert settings(found) == FLAGS
    assert found.model is not None and found.model.text == "M"
    assert not found.problems and not found.partial


def test_places_and_where_one_more_is_written() -> None:
    program = 'BASE = "ä"\nengine = LLM(\n    model=BASE,\n    max_loras=8,  # ü\n)\n'
    found = the_one(program)
    flag = found.flag("max_loras")
    assert flag is not None and flag.value is not None and found.insertion is not None
    assert (flag.place.line, program[flag.value.place.start : flag.value.place.end]) == (4, "8")
    at = found.insertion.place.start
    text = found.insertion.template.replace("{name}", "max_lora_rank").replace("{value}", "16")
    mended = program[:at] + text + program[at:]
    assert mended == 'BASE = "ä"\nengine = LLM(\n    model=BASE,\n    max_loras=8,\n    max_lora_rank=16,  # ü\n)\n'
    assert settings(the_one(mended)) == {"max_loras": "8", "max_lora_rank": "16"}


@pytest.mark.parametrize(
    ("program", "unknown"),
    [
        ('run(["vllm", "serve", "M", "--max-loras", slots])', "slots"),
        ('run(["vllm", "serve", "M", "--max-loras", str(args.slots)])', "args.slots"),
        ('run(["vllm", "serve", "M", f"--max-loras={config.slots}"])', "{config.slots}"),
        ('run(f"vllm serve M --max-loras {config.slots}", shell=True)', "{config.slots}"),
        ("LLM(model='M', max_loras=os.environ['SLOTS'])", "os.environ['SLOTS']"),
        ("s = 8 if big else 16\nLLM(model='M', max_loras=s)", "8 if big else 16"),
        ("if big:\n  s = 8\nelse:\n  s = 16\nLLM(model='M', max_loras=s)", "s"),
    ],
)
def test_what_is_not_known_is_said(program: str, unknown: str) -> None:
    (flag,) = (flag for flag in the_one(program).flags if flag.name == "max_loras")
    assert flag.value is not None
    assert (flag.value.text, flag.value.unknown) == (None, unknown)


@pytest.mark.parametrize(
    "program",
    ["LLM('M', enable_lora=True, **more)", "run(['vllm', 'serve', 'M', '--enable-lora', *sys.argv[1:]])",
     "cmd = ['vllm', 'serve', 'M', '--enable-lora']\nif x:\n  cmd += ['--max-loras', '8']\nrun(cmd)"],
)  # fmt: skip
def test_nothing_is_missing_where_more_may_come(program: str) -> None:
    found = the_one(program)
    assert found.partial
    assert [problem.code for problem in found.problems] == ["unknown-arguments"]


@pytest.mark.parametrize(
    "program",
    [
        "from tensorrt_llm import LLM\nLLM(model='M', enable_lora=True)",
        "LoraConfig(r=16, lora_alpha=32, target_modules=['q_proj'])",
        "TrainingArguments(output_dir='x', enable_lora=True, lora_rank=8, learning_rate=1e-4)",
        "run(['python', '-m', 'sglang.launch_server', '--enable-lora', '--max-loras-per-batch', '1'])",
        "print('vllm serve M --max-loras 1')",
        "# vllm serve M --enable-lora",
        "FastLanguageModel.from_pretrained('M', max_lora_rank=64, gpu_memory_utilization=0.6)",
        "client = OpenAI(base_url='http://vllm')\nclient.chat.completions.create(model='lora')",
    ],
)
def test_no_server(program: str) -> None:
    assert find(program) == []


CALL = 'url = f"{base}/v1/load_lora_adapter"\nrequests.post(url, json={})\n'


def test_calls_that_load_adapters() -> None:
    program = f'run(["vllm", "serve", "M", {LIST}])\n{CALL}'
    loader = the_one(program).loader
    assert loader is not None and loader.place.line == 2
    assert (
        the_one(f"import os\nenv = os.environ.copy()\nenv['VLLM_ALLOW_RUNTIME_LORA_UPDATING'] = '1'\n{program}").loader
        is None
    )
    assert the_one(program.replace("/v1/load", "/v1/unload")).loader is None


def test_no_python() -> None:
    with pytest.raises(NotReadableError, match=r"not Python: line 1: .*"):
        find("LLM(model='M', enable_lora=")


@pytest.mark.parametrize(
    "program",
    [
        "vllm = " + "(" * 3000 + ")" * 3000,
        "x = 'vllm'\n" + "x = x + x\n" * 100 + "run(x)",
        "x = ['vllm']\n" + "x = x + x\n" * 100 + "run(x)",
        "def vllm(x):\n  return vllm(vllm(x))\nvllm(1)",
        "x = " + "-" * 50000 + "1 # vllm",
        "x = 'vllm' " + "+ 'a'" * 20000,
        "LLM(vllm=9**9**9**9)",
        "LLM(vllm=" + "9" * 5000 + ")",
    ],
    ids=range(8),
)
def test_bombs_end(program: str) -> None:
    try:
        find(program)
    except NotReadableError as error:
        assert "\n" not in str(error)

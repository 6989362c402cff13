"""The flags that readers of deployment files know, beside those of the real vLLM's own parser."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from advisor.deploy.arguments.spellings import spellings

PYTHON = Path(os.environ["ADVISOR_TEST_VLLM"]).absolute().parent / "python"

DUMP = """
import json
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
actions = make_arg_parser(FlexibleArgumentParser())._actions
print(json.dumps({name: str(each.nargs) for each in actions for name in each.option_strings}))
"""


def test_every_flag_is_known_and_takes_as_many_values() -> None:
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    command = [str(PYTHON), "-c", DUMP]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    real = json.loads(done.stdout.splitlines()[-1])
    options, current = spellings()
    known = {name: options[name] for name in current}
    nargs = {
        name: "0" if each.type == "switch" else "+" if each.many else "?" if each.may_have else "None"
        for name, each in known.items()
    }
    assert nargs == real

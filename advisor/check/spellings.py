"""Mistakes that readers find while they read, each by the name of its `Problem`: what vLLM makes of them.

Watched on vLLM 0.32's own parser.
"""

from __future__ import annotations

from advisor.check.finding import Severity
from advisor.check.rule import Rule


def _rules(*rules: Rule) -> dict[str, Rule]:
    return {rule.name: rule for rule in rules}


PROBLEMS = _rules(
    Rule(
        "AD110",
        "flag-and-value-in-one-item",
        Severity.ERROR,
        """A flag and its value in one item of a list that no shell takes apart.

        args: ["--max-loras 32"] reaches vLLM as one word with a blank in it, which is no flag: "unrecognized
        arguments", and the server does not start. A shell would split it; the exec form of Kubernetes, compose,
        Dockerfile and subprocess does not.

        Write "--max-loras=32", or two items, "--max-loras" and "32".""",
    ),
    Rule(
        "AD111",
        "comment-after-backslash",
        Severity.ERROR,
        """A comment behind the backslash that should continue a line.

        In `--max-loras 4 \\  # resident at once` the backslash escapes the blank behind it, not the end of the line:
        the command ends there, with a blank as one more argument. Every flag on the lines below is lost, and the shell
        tries to run the next line as a command of its own.

        Put the comment on a line of its own before the command, and nothing behind a backslash.""",
    ),
    Rule(
        "AD112",
        "config-equals",
        Severity.ERROR,
        """--config=FILE, which vLLM accepts and does not read.

        `vllm serve` looks for the word --config by itself and reads the file that the next word names. --config=FILE is
        parsed, and then ignored: none of the file's flags applies, LoRA among them.

        Write --config FILE.""",
    ),
    Rule(
        "AD113",
        "lora-modules-commas",
        Severity.ERROR,
        """Adapters of --lora-modules with commas between them.

        vLLM takes a word with a comma for JSON, and does not start when it is none; a JSON list in one word is refused,
        too.

        Separate adapters by blanks: --lora-modules a=/a b=/b. A JSON object a word is fine.""",
    ),
    Rule(
        "AD114",
        "switch-with-value",
        Severity.ERROR,
        """A switch with a value.

        --enable-lora takes none: with --enable-lora=true or --enable-lora true vLLM does not start ("ignored explicit
        argument", "unrecognized arguments").

        Write --enable-lora, or --no-enable-lora to turn it off. (As a key of a --config file, true is right.)""",
    ),
    Rule(
        "AD115",
        "lora-modules-as-mappings",
        Severity.ERROR,
        """Adapters as mappings in vLLM's --config file.

        vLLM turns every entry of the list into text. Of a mapping that is Python's text, with single quotes, which is
        no JSON: the server does not start.

        Write name=path, or JSON in quotes: '{"name": "a", "path": "/a"}'.""",
    ),
    Rule(
        "AD116",
        "null-value",
        Severity.ERROR,
        """A key without a value in vLLM's --config file.

        null, ~ or nothing at all becomes the text None, which is no number: the server does not start.

        Leave the key out where the default is meant.""",
    ),
    Rule(
        "AD117",
        "ambiguous-flag",
        Severity.ERROR,
        """A shortened flag that may be one of several.

        vLLM takes a flag's beginning where only one flag begins so (--max-num-seq). --max-lora is the beginning of
        --max-loras and of --max-lora-rank: the server does not start.

        Write the flag out.""",
    ),
    Rule(
        "AD118",
        "unknown-flag",
        Severity.ERROR,
        """A flag that vLLM does not have.

        vLLM refuses what it does not know ("unrecognized arguments"), and does not start. The flags are those of vLLM
        0.32; where the file or the command names a newer one, this is a remark.""",
    ),
    Rule(
        "AD119",
        "doubled-command",
        Severity.ERROR,
        """`vllm serve` given to an image that starts with it already.

        Where an image's ENTRYPOINT is `vllm serve`, a `command: vllm serve MODEL` of compose, or `args` of Kubernetes,
        are put behind it: `vllm serve vllm serve MODEL`, which does not start.

        Give the arguments alone, or replace the entry point.""",
    ),
    Rule(
        "AD120",
        "lora-modules-swallow-model",
        Severity.ERROR,
        """A word behind --lora-modules that is no adapter.

        --lora-modules takes every word up to the next flag, a model's name too. Each must be name=path, or a JSON
        object with name and path; with anything else the server does not start.

        Put the model first, right behind `vllm serve`.""",
    ),
    Rule(
        "AD121",
        "lora-modules-twice",
        Severity.ERROR,
        """--lora-modules given twice.

        The last list counts, and the adapters of the others are not loaded: requests for them are answered with 404.

        Put all adapters into one list, separated by blanks.""",
    ),
    Rule(
        "AD122",
        "missing-value",
        Severity.ERROR,
        """A flag that needs a value and has none.

        Its value may be empty, be taken for a flag because it begins with a dash, or have been lost with a line's end:
        "expected one argument", and the server does not start.""",
    ),
    Rule(
        "AD106",
        "invalid-value",
        Severity.ERROR,
        """A value that vLLM does not take for a setting.

        max_loras, max_cpu_loras, max_lora_rank and max_num_seqs are whole numbers, max_model_len and
        max_num_batched_tokens may be written as 128k (128,000) or 8K (8,192), gpu_memory_utilization is above 0 and at
        most 1. With anything else the server does not start.""",
    ),
    Rule(
        "AD123",
        "extra-argument",
        Severity.ERROR,
        """A word that belongs to no flag.

        `vllm serve` takes one such word, the model. Any other is an unrecognized argument: the server does not start.
        Often a flag is missing before it, or a line ends without its backslash.""",
    ),
    Rule(
        "AD124",
        "model-not-first",
        Severity.ERROR,
        """The model is not the first word behind `vllm serve`.

        With --served-model-name and no --model in front, vLLM looks for the model in the first place only, and does not
        start.""",
    ),
    Rule(
        "AD125",
        "config-twice",
        Severity.ERROR,
        """--config given twice.

        vLLM takes one file, and does not start with two.

        Put all settings into one file.""",
    ),
    Rule(
        "AD126",
        "config-suffix",
        Severity.ERROR,
        """--config with a file that does not end in .yaml or .yml.

        vLLM takes no other, and does not start.""",
    ),
    Rule(
        "AD504",
        "unknown-arguments",
        Severity.REMARK,
        """Arguments that cannot be known from the file.

        A variable or a template may hold further flags. Nothing is said of what is missing.""",
    ),
    Rule(
        "AD505",
        "unknown-config",
        Severity.REMARK,
        """A file of settings that is not there.

        A command names vLLM's --config file, which may set everything. Nothing is said of what is missing; check that
        file, too.""",
    ),
)
"""By name; the explanations are pages for the command line."""
OTHER = Rule(
    "AD199",
    "not-read-as-meant",
    Severity.ERROR,
    """Something that vLLM does not read as it is meant.

    It was found while the file was read, and has no page of its own yet. The message says what vLLM makes of it.""",
)
"""Of a problem that is none of these."""

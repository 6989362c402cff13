"""What `--help` shows below the options of a command: how it is used."""

from __future__ import annotations

EXAMPLES = {
    "recommend": (
        "advisor recommend inventory.toml",
        "advisor recommend inventory.toml --ttft-limit p99=2s --format args",
        "advisor recommend inventory.toml --verify --report answer.html",
        "advisor recommend requests.jsonl --model ID --gpu h100-64gb --ranks DIR",
    ),
    "place": (
        "advisor place fleet.toml",
        "advisor place fleet.toml --gpus 4 --format json",
    ),
    "check": (
        "advisor check deploy/",
        "advisor check compose.yaml --inventory inventory.toml --diff",
        "advisor check deploy/ --inventory inventory.toml --format sarif",
        "advisor check --explain AD201",
    ),
    "render": (
        "advisor render --list",
        "advisor render inventory.toml -t compose -o launch",
    ),
    "simulate": (
        "advisor simulate inventory.toml --max-loras 32",
        "advisor simulate inventory.toml --requests log.csv",
    ),
    "pairs": ("advisor pairs", "advisor pairs --format json"),
    "explain": ("advisor explain llama-3.1-8b-instruct--h100-64gb",),
    "schema": (
        "advisor schema > inventory.schema.json",
        "advisor schema --of answer",
        "advisor schema --of placement",
    ),
    "scan": (
        "advisor inventory scan /adapters --gpu h100-64gb -o inventory.toml",
        "advisor inventory scan ~/.cache/huggingface/hub --format json",
    ),
    "from-log": (
        "advisor inventory from-log requests.jsonl --into inventory.toml",
        "zcat vllm.log.gz | advisor inventory from-log - --busiest-hour",
    ),
    "from-metrics": (
        "advisor inventory from-metrics http://gateway:9090/metrics --wait 60s",
        "advisor inventory from-metrics http://prometheus:9090 --range 24h",
    ),
    "from-files": ("advisor inventory from-files serve.sh -o inventory.toml",),
    "inventory-check": ("advisor inventory check inventory.toml",),
}
"""Command -> lines of a shell, none longer than 74 characters: with their margins they fit a terminal of 80."""


def epilog(command: str) -> str:
    """The examples of a command, as its help has them."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[command])])

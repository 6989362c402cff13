"""`advisor pairs`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage.options import Listing, Zoo

READING = (
    "smape: the mean of errors over the sum of what was simulated and what was predicted, about half of what they are "
    "over the one; p95: what 19 of 20 errors over what was simulated stay below. The mean of these (MAPE) is left to "
    "--format json: some times that are nearly 0 make it of any size"
)


def pairs(
    form: Annotated[Listing, typer.Option("--format", help="How the list is written")] = Listing.TEXT,
    zoo: Zoo = None,
    derived: Annotated[
        bool,
        typer.Option("--derived", help="The models and GPUs of which any pair is derived"),
    ] = False,
) -> None:
    """List the pairs there are, and how good their models are."""
    if derived:
        _list_catalogue(form)
        return
    from advisor.zoo.pairs import load_zoo

    there = load_zoo(zoo)
    found = [pair.summary() for pair in there.pairs]
    for message in there.broken:
        streams.note(message)
    if form is Listing.JSON:
        streams.write(json.dumps(found, indent=2))
        return
    from advisor.report.lines import wrapped
    from advisor.report.table import table

    width = streams.width() or streams.WIDTH
    blocks = [table(found, ["pair", "vllm", "date", "workloads", "simulations", "source"], width)]
    for names, errors in _alike(found):
        of = f"of {' and '.join(names)}, on workloads that were not trained on"
        relative = [error for error in errors if "mape_percent" in error]
        columns = ["output", "objective", "smape_percent", "p95_percent"]
        blocks.append(f"{wrapped(f'Errors {of}', width)}\n{table(relative, columns, width)}\n{wrapped(READING, width)}")
        if answers := [error for error in errors if "missed_percent" in error and error["output"] == "chance"]:
            columns = ["objective", "smape_percent", "missed_percent", "starved_percent", "throughput_regret_percent"]
            blocks.append(f"{wrapped(f'Recommendations {of}', width)}\n{table(answers, columns, width)}")
    blocks.append(wrapped(_of_any(), width))
    streams.write("\n\n".join(blocks))


def _alike(pairs: list[dict[str, Any]]) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Names of pairs, and the errors of the models that they share."""
    found: list[tuple[list[str], list[dict[str, Any]]]] = []
    for pair in pairs:
        names = next((names for names, errors in found if errors == pair["errors"]), None)
        if names is None:
            found.append(([pair["pair"]], pair["errors"]))
        else:
            names.append(pair["pair"])
    return found


def _of_any() -> str:
    from advisor.derive.gpus import gpu
    from advisor.derive.llm import model_shape

    dense = sum(not shape.experts for shape in model_shape.catalogue().values())
    return (
        f"Where nobody measured a pair it is derived, with how far the answer may be off: any of {dense} models on "
        f"any of {len(gpu.catalogue().gpus)} GPUs (--derived lists them), a model by its config.json, a GPU by its "
        "data sheet"
    )


def _list_catalogue(form: Listing) -> None:
    from advisor.derive.gpus import gpu
    from advisor.derive.llm import model_shape

    models = [
        {
            "model": name,
            "parameters": round(shape.parameters / 1e9, 2),
            "layers": shape.layers,
            "max_model_len": shape.max_model_len,
        }
        for name, shape in model_shape.catalogue().items()
        if not shape.experts
    ]
    gpus = [
        {
            "gpu": name,
            "memory_gib": each.memory_gib,
            "bandwidth_gb_s": each.bandwidth_gb_s,
            "bf16_tflops": each.bf16_tflops,
            "fp8_tflops": each.fp8_tflops or None,
            "kernels_measured": not each.like,
        }
        for name, each in gpu.catalogue().gpus.items()
    ]
    if form is Listing.JSON:
        streams.write(json.dumps({"models": models, "gpus": gpus}, indent=2))
        return
    from advisor.report.lines import wrapped
    from advisor.report.table import table

    experts = ", ".join(name for name, shape in model_shape.catalogue().items() if shape.experts)
    width = streams.width() or streams.WIDTH
    blocks = [table(models, list(models[0]), width), table(gpus, list(gpus[0]), width)]
    blocks.append(wrapped(f"Models with experts are known, but LoRA on them is not derived: {experts}", width))
    streams.write("\n\n".join(blocks))

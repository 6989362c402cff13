"""`python -m calibrate derive`, `operators` and `host`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from advisor.derive.engine import CURRENT
from advisor.derive.shards import MAX_GPUS
from calibrate import output as out
from calibrate.errors import CalibrationError

MEASURED = "llama-3.1-8b-instruct--h100-64gb"
"""The pair that LoRA's costs are taken from where nobody says another."""
CATALOGUE = Path("advisor/derive/gpus/gpus.toml")
NOTICE = """\
# GPU types: figures of their data sheets, and how much of them vLLM's kernels get (`advisor/derive/gpus/gpu.py` says
# what the keys mean). The efficiencies are fitted to operator times of aiconfigurator-core, Copyright (c) 2025-2026
# NVIDIA CORPORATION & AFFILIATES, Apache-2.0, by `python -m calibrate operators`; no row of its tables stands here.

"""


class Weights(StrEnum):
    """What the weights are packed into."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT4 = "int4"


class Kv(StrEnum):
    """What the KV cache holds."""

    BF16 = "bf16"
    FP8 = "fp8"


def derive(
    *,
    model: Annotated[str, typer.Option(help="Hugging Face id; with --config any name")],
    gpu: Annotated[str, typer.Option(help="short name of the GPU type, such as l40s")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="profile to write")] = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="CSV of measured steps and KV caches to show beside it (`calibrate/derive/beside.py`)"),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="the model's config.json, where the catalogue lacks it")] = None,
    tensor_parallel: Annotated[int, typer.Option(min=1, max=MAX_GPUS, help="GPUs that the server spans")] = 1,
    weights: Annotated[
        Weights | None,
        typer.Option(help="int4: AWQ, GPTQ, bitsandbytes [default: what name or configuration say, else bf16]"),
    ] = None,
    kv_cache: Annotated[Kv, typer.Option(help="what the KV cache holds")] = Kv.BF16,
    vllm: Annotated[str, typer.Option(metavar="VERSION", help="what is to serve it")] = CURRENT,
    context: Annotated[float, typer.Option(min=1, help="tokens that a request holds on average")] = 400.0,
    measured: Annotated[
        Path | None,
        typer.Option(help=f"measured profile that LoRA's costs come from [default: of {MEASURED}]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the profile that is there")] = False,
) -> None:
    """Compute the profile of a pair that nobody measured, with how far each constant may be off."""
    from advisor.derive.derive import derive as derived
    from advisor.derive.engine import Engine
    from advisor.derive.llm import model_shape
    from advisor.zoo.derived import subject_of
    from advisor.zoo.models import common_models
    from advisor.zoo.pair import PROFILE, Pair, shipped
    from twin.profile import load

    if output is None and beside is None:
        raise typer.BadParameter("nothing to do: add -o FILE to write the profile, or --beside FILE")
    donor = load(measured or shipped() / MEASURED / PROFILE)
    engine = Engine(
        tensor_parallel=tensor_parallel,
        kv_cache_dtype="fp8" if kv_cache is Kv.FP8 else None,
        vllm=vllm,
        config=config,
    )
    subject = replace(subject_of(model, gpu, engine, None if weights is None else weights.value), context=context)
    profile = derived(subject, donor, model_shape.find(donor.pair.model), command=out.called())
    if beside is not None:
        from calibrate.derive import beside as servers

        out.show(servers.beside(profile, servers.read(beside)))
    if output is not None:
        out.write(output, profile.to_toml().encode(), overwrite=force)
        print(f"{output}: {profile.pair.name}, derived, not measured")
    for note in Pair(profile, common_models()).run(engine).notes:
        print(f"note: {note}")


def operators(
    tables: Annotated[Path, typer.Option(help="folder of aiconfigurator-core's wheel, unpacked")],
    version: Annotated[str, typer.Option(help="its version")] = "0.12.0",
    output: Annotated[Path, typer.Option("--output", "-o", help="catalogue to write")] = CATALOGUE,
) -> None:
    """Fit the catalogue's efficiencies to measured operator times."""
    import tomli_w

    from advisor.derive.gpus import gpu
    from calibrate.derive import operator_tables

    systems = tables / "aiconfigurator_core" / "systems" / "data"
    if not systems.is_dir():
        raise CalibrationError(f"{tables}: no aiconfigurator_core/systems/data in it; unpack the wheel there")
    found = operator_tables.refit(gpu.catalogue(), systems, f"aiconfigurator-core {version}")
    out.write(output, (NOTICE + tomli_w.dumps(found.model_dump(exclude_defaults=True))).encode())
    for kind, each in found.efficiencies.items():
        fits = ", ".join(f"{name} {100 * one.residual:.1f} %" for name, one in each.gemm.items() if one.residual)
        if fits:
            attention = f"attention {100 * each.attention.residual:.0f} %"
            print(f"{kind}: median error of products while decoding: {fits}; {attention}")


def host(
    runs: Annotated[Path, typer.Option(help="servers without LoRA, as `vllm-0.15-no-lora/runs.csv` has them")],
) -> None:
    """Fit the host's share of a step to measured servers, and show how near the operators then come."""
    from statistics import median

    from advisor.derive.step import HOST_MS
    from calibrate.derive import host as hosts

    found = hosts.stages(runs)
    if not found:
        raise CalibrationError(f"{runs}: no stage of a known model at a known rate")
    for each in found:
        print(
            f"{each.model:<34}x{each.tensor_parallel}  {each.workload:<13}ITL {each.itl_ms:6.2f} ms, "
            f"{100 * each.error(HOST_MS):+.1f} %"
        )
    off = 100 * median(abs(each.error(HOST_MS)) for each in found)
    print(
        f"host {HOST_MS:g} ms a step: median error {off:.1f} % over {len(found)} stages; best {hosts.fit(found):.2f} ms"
    )

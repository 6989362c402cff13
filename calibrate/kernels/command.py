"""`python -m calibrate carry-kernels`, `kernels`, `check-kernels` and `fit-kernels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrate.errors import CalibrationError

Folder = Annotated[
    Path | None, typer.Option("--kernels", help="folder that they were carried to [default: the installed vLLM's]")
]


def carry_kernels(
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write")],
    wheel: Annotated[Path | None, typer.Option(help="vLLM's wheel [default: the installed vLLM]")] = None,
) -> None:
    """Copy vLLM's LoRA kernels, to be timed where there is no vLLM."""
    from calibrate.kernels.vllm_kernels import FILES, carry

    print(f"{carry(output, wheel)}: {len(FILES)} files")


def kernels(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON lines; a stopped run goes on there")],
    seconds: Annotated[float, typer.Option(min=1, help="time to take")] = 180.0,
    folder: Folder = None,
) -> None:
    """Time vLLM's LoRA kernels on this machine's GPU over ranks, slots, adapters, tokens and shapes, by their worth."""
    from calibrate.kernels.measure import measure, measured
    from calibrate.kernels.vllm_kernels import load

    found = sum(1 for _ in measure(load(folder), output, seconds))
    print(f"{output}: {found} cases timed, {len(measured(output))} in all")


def fit_kernels(
    rows: Annotated[Path, typer.Argument(help="what `kernels` wrote")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="TOML file to write")] = None,
    gpu: Annotated[str | None, typer.Option(help="the card in the catalogue [default: as the rows call it]")] = None,
) -> None:
    """Fit LoRA's terms of a step to timed kernels, and print them as `advisor/derive` has them."""
    from calibrate import output as out
    from calibrate.kernels import fit
    from calibrate.kernels.constants import constants
    from calibrate.kernels.report import residual_table, term_table

    timed = fit.read(rows)
    try:
        layers = fit.layers(timed)
        terms = fit.fit(layers)
        found = constants(timed[0], layers, terms, gpu or timed[0].gpu)
    except CalibrationError as error:
        raise CalibrationError(f"{rows}: {error}") from error
    if output is not None:
        out.write(output, found.to_toml().encode())
    out.show(term_table(found))
    out.show(residual_table(fit.residuals(layers, terms)))
    print(f"\nadvisor/derive/lora.py, from these layers:\n{found.python()}")


def check_kernels(
    folder: Folder = None, device: Annotated[str, typer.Option(help="cpu: Triton's interpreter")] = "cpu"
) -> None:
    """Hold vLLM's LoRA kernels to torch on small shapes: are they called rightly? On a CPU by Triton's interpreter."""
    import os

    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined
    from calibrate.kernels.batch import Batch
    from calibrate.kernels.cases import Case
    from calibrate.kernels.vllm_kernels import load

    loaded = load(folder)
    for case in (
        Case(64, (32,), 8, 2, 1, 3),
        Case(64, (32, 16, 16), 16, 4, 3, 5),
        Case(128, (64, 64), 16, 8, 2, 33),
        Case(64, (32,), 32, 4, 4, 130, specialize=True),
    ):
        loaded.forget()
        batch = Batch(loaded, case, device, copies=2)
        for _ in range(2):
            batch.result.zero_()
            batch.shrink()
            batch.expand()
        expected = batch.expected()
        off = float((batch.result.float() - expected).abs().max() / expected.abs().max())
        if not off < 0.02:  # bf16 has eight bits, fp16 eleven
            raise CalibrationError(f"{case}: {off:.1%} off torch; these kernels take other arguments")
        print(f"{case}: as torch has it, to {off:.2%}")

"""`python -m calibrate`: measurements -> Profile, and the twin against real runs."""
# Each command imports what it needs: an environment with vLLM need not have the rest, and vLLM's CPU engine does not
# start in a process that has loaded LLVM.

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, cast

import typer

from advisor.errors import InputError
from calibrate import output as out
from calibrate.derive import command as deriving
from calibrate.errors import CalibrationError
from calibrate.kernels import command as kernel
from calibrate.live import command
from twin.profile import ProfileError, Serving, load

DATA = Path("../shared/data/h100-64gb")
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__base__)
"""Click's, which typer brings along under a private name in some versions."""
PAIRS = Path("model_zoo/pairs")

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


app.command("run")(command.run)
app.command("drift")(command.drift)
app.command("verify-client")(command.verify_client)
for each in (
    *(deriving.derive, deriving.operators, deriving.host),
    *(kernel.carry_kernels, kernel.kernels, kernel.check_kernels, kernel.fit_kernels),
):
    app.command()(each)


@app.command()
def fit(
    *,
    tables: Annotated[Path, typer.Option(help="folder of the measurement tables")],
    model: Annotated[str, typer.Option(help="model as the tables call it")],
    gpu: Annotated[str, typer.Option(help="short name of the GPU type")],
    hub_id: Annotated[str, typer.Option(help="Hugging Face id of the model")],
    output: Annotated[Path, typer.Option("--output", "-o", help="profile to write")],
    gpu_memory_gib: Annotated[float, typer.Option(callback=out.finite, min=1, help="memory of the GPU, GiB")],
    kv_bytes_per_token: Annotated[float, typer.Option(callback=out.finite, min=1, help="bytes of KV cache per token")],
    max_model_len: Annotated[int, typer.Option(min=1, help="the model's default, tokens")],
    source: Annotated[str, typer.Option(help="where the measurements come from")],
    like: Annotated[Path | None, typer.Option(help="profile to take from what the tables lack")] = None,
    served: Annotated[
        Path | None,
        typer.Option(help="measured hours of serving to refine the step model with (`calibrate/runs.py`)"),
    ] = None,
    vllm: Annotated[str, typer.Option(help="vLLM version measured")] = "0.8.5",
    gpu_memory_utilization: Annotated[float, typer.Option(min=0.01, max=1)] = 0.9,
    max_num_seqs: Annotated[int, typer.Option(min=1)] = 2048,
    max_num_batched_tokens: Annotated[int, typer.Option(min=1)] = 2048,
    serving_input_tokens: Annotated[
        float,
        typer.Option(callback=out.finite, min=1, help="prompt length in scheduler_steps.csv"),
    ] = 250.0,
) -> None:
    """Fit a profile to measurement tables (columns: see `calibrate/fit/tables.py`)."""
    from calibrate.fit.profile import Subject, fit_profile
    from calibrate.fit.report import fit_report
    from calibrate.fit.tables import read
    from calibrate.runs import read_runs

    subject = Subject(
        hub_id=hub_id,
        gpu=gpu,
        vllm=vllm,
        gpu_memory_gib=gpu_memory_gib,
        kv_bytes_per_token=kv_bytes_per_token,
        max_model_len=max_model_len,
        gpu_memory_utilization=gpu_memory_utilization,
        serving=Serving(
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
        ),
        input_tokens=serving_input_tokens,
        source=source,
    )
    hours = [run for run in read_runs(served) if run.model == model] if served else []
    profile = fit_profile(read(tables, model), subject, out.called(), load(like) if like else None, hours)
    out.write(output, profile.to_toml().encode())
    out.show(fit_report(profile))


@app.command()
def validate(
    pair: Annotated[str | None, typer.Argument(help="pair to judge [default: those of the models in the runs]")] = None,
    *,
    data: Annotated[Path, typer.Option(help="folder with validation/serving_runs.csv")] = DATA,
    runs: Annotated[Path | None, typer.Option(help="measured runs (columns: see `calibrate/runs.py`)")] = None,
    pairs: Annotated[Path, typer.Option(help="folder of the profiles, <pair>/profile.toml")] = PAIRS,
    gpu: Annotated[str, typer.Option(help="short name of the GPU type, where no pair is named")] = "h100-64gb",
    seeds: Annotated[int, typer.Option(min=1, help="simulations of each run")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="processes")] = os.cpu_count() or 1,
    worst: Annotated[int, typer.Option(min=0, help="list so many of the worst runs")] = 0,
    json: Annotated[Path | None, typer.Option(help="write the figures here, too")] = None,
) -> None:
    """Compare the twin with measured runs, another simulator and rules of thumb."""
    from calibrate.replay import of_pair, profiles
    from calibrate.runs import read_runs
    from calibrate.validation import comparison
    from calibrate.validation.loads import load_scores, load_table

    measured = runs or data / "validation" / "serving_runs.csv"
    if runs is None and not measured.exists():
        print(f"calibrate: nothing to validate: there is no {measured}", file=sys.stderr)
        return
    table = read_runs(measured)
    grid = measured.with_name("optimum_search.csv")
    if pair is None:
        known = profiles(pairs, gpu, sorted({run.model for run in table}))
    else:
        known = of_pair(pairs / pair / "profile.toml", table)
        table = [run for run in table if run.model in known]
    found = comparison.validate(
        table,
        [run for run in read_runs(grid) if run.model in known] if grid.exists() else [],
        known,
        seeds=seeds,
        jobs=jobs,
        worst_runs=worst,
    )
    if json is not None:
        out.write(json, f"{found.to_json()}\n".encode())
    out.show(comparison.scoreboard(found))
    if loads := load_scores(data / "calibration", known, jobs):
        out.show(load_table(loads))


@app.command()
def bench(profile: Annotated[Path, typer.Argument(metavar="PROFILE", help="profile.toml of a pair")]) -> None:
    """Time the twin from light load to overload, and with many requests and adapters."""
    from calibrate import bench as timing

    served = load(profile)
    seconds = timing.first_start(served)
    print(f"first start: {seconds:.1f} s, the compilation included unless it was kept", file=sys.stderr)
    print(f"{served.pair.name}, one core, fastest of {timing.REPEATS}, drawing the requests included")
    for table in timing.tables(served):
        out.show(table)


@app.command()
def dummy_model(
    folder: Annotated[Path, typer.Argument(help="folder to write")],
    shape: Annotated[
        str, typer.Option(help="tiny-llama, for vLLM's CPU build, or llama-3.1-8b-instruct")
    ] = "tiny-llama",
) -> None:
    """Write a model without weights, to be served with dummy ones: its configuration and a tokenizer."""
    from calibrate.dummy_model import SHAPES, write_model

    if shape not in SHAPES:
        raise CalibrationError(f"--shape {shape}: no such model; there are {', '.join(SHAPES)}")
    write_model(folder, SHAPES[shape])


@app.command()
def parcel(
    wheels: Annotated[list[Path], typer.Argument(help="what may come in parts: wheels of vLLM and what it needs")],
    *,
    first: Annotated[Path, typer.Option(help="folder of all that the first parcel is to hold, whole")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to write")] = Path("build/parcels"),
    mib: Annotated[float, typer.Option(callback=out.finite, min=1, help="MiB of a parcel at most")] = 50.0,
) -> None:
    """Pack what a borrowed machine lacks into parcels, to be carried there one by one (`calibrate/borrowed.sh`)."""
    from calibrate.parcels import pack

    for each in pack(first, wheels, output, mib):
        size = sum(file.stat().st_size for file in each.rglob("*"))
        print(f"{each}: {size / 2**20:.1f} MiB")


@app.command()
def record_schedule(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="file of recordings to write, .json.xz")],
    cases: Annotated[int, typer.Option(min=1, help="workloads")] = 36,
    seed: Annotated[int, typer.Option(min=0, help="of the workloads")] = 0,
    alone: Annotated[
        bool,
        typer.Option("--alone", help="the scheduler alone, for a vLLM that needs a GPU; else an engine on the CPU"),
    ] = False,
    async_scheduling: Annotated[
        bool, typer.Option("--async-scheduling", help="with --alone: two steps in flight")
    ] = False,
    prefix_caching: Annotated[
        bool, typer.Option("--prefix-caching", help="prefix caching on, and prompts that begin alike")
    ] = False,
    base: Annotated[bool, typer.Option("--base", help="some of the requests name no adapter")] = False,
) -> None:
    """Record, step by step, what the scheduler of the installed vLLM decides; the tests hold the twin to it."""
    from calibrate.recording import record
    from calibrate.recording.recordings import Recordings, encode

    if async_scheduling and not alone:
        raise CalibrationError("--async-scheduling: the CPU engine cannot schedule ahead; add --alone")
    vllm = record.version()
    if alone:
        found = record.through_scheduler(
            record.cases(cases, seed, block_size=16, prefixes=prefix_caching, base=base),
            async_scheduling=async_scheduling,
        )
    else:
        with tempfile.TemporaryDirectory() as folder:
            chosen = record.cases(cases, seed, record.LARGEST.block_size, prefixes=prefix_caching, base=base)
            found = record.through_engine(chosen, Path(folder))
    recordings = Recordings(
        vllm=vllm, engine=not alone, async_scheduling=async_scheduling, command=out.called(), recordings=tuple(found)
    )
    out.write(output, encode(recordings))
    print(f"{output}: vLLM {vllm}, {len(found)} workloads, {sum(len(one.steps) for one in found):,} steps")


@app.command()
def check_schedule(
    *,
    python: Annotated[Path, typer.Option(help="a Python that has vLLM, or what vLLM needs to be imported")] = Path(
        sys.executable
    ),
    vllm: Annotated[
        Path | None, typer.Option(help="a wheel of vLLM, or a folder with its package [default: what Python has]")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="workloads of each kind")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="of the workloads")] = 1,
) -> None:
    """Tell whether the twin decides as the scheduler of any vLLM, in every step: exit code 0 if so, 1 if not."""
    from calibrate.recording import check

    recorded = check.record_with(python, vllm, cases, seed)
    verdicts = check.compare(recorded)
    print(check.report(next(iter(recorded.values())).vllm, verdicts))
    if any(one.differing for one in verdicts):
        raise typer.Exit(1)


@app.command("cross-validate")
def cross_validation(
    *,
    data: Annotated[Path, typer.Option(help="folder with calibration/ and validation/")] = DATA,
    pairs: Annotated[Path, typer.Option(help="folder of the profiles, <pair>/profile.toml")] = PAIRS,
    gpu: Annotated[str, typer.Option(help="short name of the GPU type")] = "h100-64gb",
    seeds: Annotated[int, typer.Option(min=1, help="simulations of each judged run")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="processes")] = os.cpu_count() or 1,
) -> None:
    """Fit to one kind of measured hours and judge on another, with every term and without each of them."""
    from calibrate.replay import profiles
    from calibrate.runs import read_runs
    from calibrate.validation.cross_validation import cross_validate, fold_report

    models = sorted({run.model for run in read_runs(data / "validation" / "serving_runs.csv")})
    out.show(fold_report(cross_validate(data, profiles(pairs, gpu, models), seeds=seeds, jobs=jobs)))


def main() -> None:
    """Run the command line; bad input is one line on stderr and exit code 2."""
    try:
        sys.exit(app(prog_name="python -m calibrate", standalone_mode=False) or 0)  # the code of a typer.Exit
    except UsageError as error:
        called = error.ctx.command_path if error.ctx else "python -m calibrate"
        line = f"{error.format_message().rstrip('.')} (see {called} --help)"
    except (CalibrationError, InputError, ProfileError) as error:
        line = str(error)
    except OSError as error:
        line = f"{error.filename or 'the operating system'}: {error.strerror or error}"
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(command.INTERRUPTED)
    print(f"calibrate: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

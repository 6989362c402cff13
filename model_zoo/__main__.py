"""`python -m model_zoo build`: make the models of pairs from their profiles."""

from __future__ import annotations

import datetime
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.errors import InputError
from advisor.zoo.models import load_models
from advisor.zoo.pair import PROFILE
from advisor.zoo.pairs import load_zoo
from model_zoo.campaign.grid import GRIDS, Grid, GridName
from model_zoo.campaign.lock import locked
from model_zoo.errors import ZooError
from model_zoo.notes import note
from twin.profile import Profile, ProfileError, load
from twin.service_level import TTFT_LIMIT_S

if TYPE_CHECKING:
    from model_zoo.campaign.profiles import Profiles

SHIPPED = Path(__file__).parent / "pairs"
COMMON = Path(__file__).parent / "common"

Mixes = Annotated[int | None, typer.Option(min=1, help="only the first so many of the grid", show_default="all")]
Jobs = Annotated[int, typer.Option(help="processes; -1: one for every core")]

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def commands() -> None:
    """The model zoo."""


@app.command()
def build(
    *,
    pair: Annotated[
        list[str] | None, typer.Option(help="pair that models of its own are made for; repeat for several")
    ] = None,
    grid: Annotated[
        GridName | None, typer.Option(help="workloads to train on", show_default="wide; common without --pair")
    ] = None,
    mixes: Mixes = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of mixes and simulations")] = 0,
    jobs: Jobs = -1,
    dask: Annotated[str, typer.Option(help="simulate on the workers of this Dask scheduler: tcp://host:8786")] = "",
    date: Annotated[str, typer.Option(help="day to note down, YYYY-MM-DD", show_default="today")] = "",
    runs: Annotated[Path | None, typer.Option(help="measured runs to judge the answers by, see calibrate.runs")] = None,
    with_comparison: Annotated[
        bool, typer.Option("--compare", help="add to the card how other families and other sets of models do")
    ] = False,
    zoo: Annotated[Path, typer.Option(help="zoo that profiles are taken from")] = SHIPPED,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder to write", show_default="the zoo's; model_zoo/common")
    ] = None,
    work: Annotated[Path, typer.Option(help="where finished mixes are kept: a stopped build goes on")] = Path(
        "build/zoo"
    ),
) -> None:
    """Simulate, train and judge: models for any Profile or, with --pair, for one; with manifest and card."""
    day = _date(date)
    if runs and not runs.is_file():
        raise ZooError(f"{runs}: no such file of measured runs")
    from model_zoo.campaign.campaign import Campaign
    from model_zoo.campaign.profiles import Profiles
    from model_zoo.pair import make, write

    wanted = [Profiles((_profile(zoo, name),), seed=seed) for name in pair or ()]
    named = grid or (GridName.WIDE if pair else GridName.COMMON)
    chosen = _grid(named, mixes)
    for profiles in wanted or [_profiles(zoo, seed)]:
        one = f" --pair {profiles.name}" if pair else ""
        command = f"python -m model_zoo build{one} --grid {named}"
        command += f" --mixes {mixes}" if mixes is not None else ""
        command += f" --seed {seed} --date {day}"
        command += f" --runs {runs.name}" if runs else ""
        command += " --compare" if with_comparison else ""
        campaign = Campaign(profiles, chosen, seed=seed, work=work, jobs=jobs, scheduler=dask)
        folder = (output or zoo) / profiles.name if pair else output or COMMON
        with locked(folder), locked(campaign.folder):
            files = make(campaign, command, date=day, runs=runs, with_comparison=with_comparison)
            for outdated in write(folder, files):
                note(f"{folder / outdated}: removed; of a former build, and not made any more")
        typer.echo(f"{folder}: {len(files)} files, {sum(map(len, files.values())) / 2**20:.1f} MiB")


@app.command()
def compare(
    *,
    grid: Annotated[GridName, typer.Option(help="workloads that models were made with")] = GridName.COMMON,
    mixes: Mixes = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of mixes and simulations")] = 0,
    jobs: Jobs = -1,
    zoo: Annotated[Path, typer.Option(help="zoo that the profile is taken from")] = SHIPPED,
    work: Annotated[Path, typer.Option(help="where finished mixes are kept")] = Path("build/zoo"),
) -> None:
    """Print how other models do: those of a pair's own mixes beside one set for all, and every family of models."""
    from model_zoo.campaign.campaign import Campaign
    from model_zoo.pair import compared
    from model_zoo.training.dataset import tabulate

    profiles = _profiles(zoo, seed)
    campaign = Campaign(profiles, _grid(grid, mixes), seed=seed, work=work, jobs=jobs)
    with locked(campaign.folder):
        findings = campaign.findings()
    train, held_out = tabulate(findings, profiles, campaign.grid.max_adapters, jobs).split()
    for title, section in compared(train, held_out, campaign):
        typer.echo(f"{title}\n\n{section}\n")


@app.command()
def exact(
    *,
    grid: Annotated[GridName, typer.Option(help="workloads that the models were made with")] = GridName.COMMON,
    mixes: Mixes = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of mixes")] = 0,
    jobs: Jobs = -1,
    zoo: Annotated[Path, typer.Option(help="zoo that profiles are taken from")] = SHIPPED,
    models: Annotated[Path, typer.Option(help="folder of models for any pair")] = COMMON,
) -> None:
    """Print what the models give away beside the exact search, on held-out mixes, in hours that neither has asked."""
    from model_zoo.campaign.campaign import Campaign
    from model_zoo.evaluation.beside_exact import ABOUT, beside_exact, table_of
    from model_zoo.evaluation.trials import Pairs

    profiles = _profiles(zoo, seed)
    campaign = Campaign(profiles, _grid(grid, mixes), seed=seed, work=Path(), jobs=jobs)
    served = list(beside_exact(campaign, Pairs(profiles, load_models(models))))
    typer.echo(f"{ABOUT}\n\n{table_of(served)}")


@app.command()
def judge(
    *,
    runs: Annotated[Path, typer.Option(help="measured runs, see calibrate.runs")],
    zoo: Annotated[Path, typer.Option(help="zoo to judge")] = SHIPPED,
    ttft_limit: Annotated[float, typer.Option(help="limit of the mean time to first token, s")] = TTFT_LIMIT_S,
) -> None:
    """Print what the advisor recommends for the mixes of measured runs beside what was measured there."""
    from model_zoo.evaluation import real_runs

    there = load_zoo(zoo)
    for message in there.broken:
        note(message)
    for each in there.pairs:
        if verdicts := real_runs.judge(each, runs, ttft_limit):
            typer.echo(f"{each.name}\n\n{real_runs.table(verdicts)}\n")


def _date(text: str) -> str:
    try:
        return (datetime.date.fromisoformat(text) if text else datetime.datetime.now(datetime.UTC).date()).isoformat()
    except ValueError as error:
        raise ZooError(f"--date {text}: not a day as YYYY-MM-DD") from error


def _grid(name: GridName, mixes: int | None) -> Grid:
    """A grid, or the first so many mixes of it."""
    grid = GRIDS[name]
    if mixes is None:
        return grid
    if mixes > grid.mixes:
        raise ZooError(f"--mixes {mixes}: the grid {name} has {grid.mixes}")
    return replace(grid, mixes=mixes)


def _profiles(zoo: Path, seed: int) -> Profiles:
    """Those of a zoo, and others drawn: what models for any pair are of."""
    from model_zoo.campaign.profiles import Profiles

    return Profiles(tuple(_profile(zoo, name) for name in _pairs(zoo)), drawn=True, seed=seed)


def _pairs(zoo: Path) -> list[str]:
    """The pairs of a zoo or, where it has none yet, the shipped ones."""
    names = _named(zoo) or _named(SHIPPED)
    if not names:
        raise ZooError(f"{zoo}: no pairs here; a pair is a folder with a {PROFILE}, made by python -m calibrate fit")
    return names


def _named(*zoos: Path) -> list[str]:
    """The pairs of these zoos together."""
    return sorted({path.parent.name for zoo in zoos for path in zoo.glob(f"*/{PROFILE}")})


def _profile(zoo: Path, name: str) -> Profile:
    """The profile of a pair: from the zoo, else the shipped one."""
    path = next((path for folder in (zoo, SHIPPED) if (path := folder / name / PROFILE).exists()), None)
    if path is None:
        raise ZooError(f"{zoo}: no pair {name}; there are {', '.join(_named(zoo, SHIPPED))}")
    profile = load(path)
    if profile.pair.name != name:
        raise ZooError(f"{path}: is the profile of {profile.pair.name}; its folder should have that name")
    return profile


def main() -> None:
    """The entry point: bad input is one line and exit code 2."""
    try:
        app()
    except (ZooError, ProfileError, InputError, OSError) as error:
        print(f"model_zoo: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

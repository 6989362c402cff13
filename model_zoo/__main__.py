"""`python -m model_zoo build`: make the models of pairs from their profiles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from model_zoo.campaign import Campaign
from model_zoo.errors import ZooError
from model_zoo.grid import GRIDS, GridName
from model_zoo.pair import PROFILE, make
from twin.profile import Profile, ProfileError, load

SHIPPED = Path(__file__).parent / "pairs"

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.callback()
def commands() -> None:
    """The model zoo."""


@app.command()
def build(
    *,
    pair: Annotated[list[str] | None, typer.Option(help="pair to build; repeat for several; default: all")] = None,
    grid: Annotated[GridName, typer.Option(help="workloads to train on")] = GridName.WIDE,
    seed: Annotated[int, typer.Option(min=0, help="seed of mixes and simulations")] = 0,
    jobs: Annotated[int, typer.Option(help="processes; -1: one for every core")] = -1,
    dask: Annotated[str, typer.Option(help="simulate on the workers of this Dask scheduler: tcp://host:8786")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="zoo to write; profiles are taken from it")] = SHIPPED,
    work: Annotated[Path, typer.Option(help="where finished mixes are kept: a stopped build goes on")] = Path(
        "build/zoo"
    ),
) -> None:
    """Simulate, train and judge: writes models, card and manifest beside the profile of each pair."""
    for name in pair or _pairs(output):
        profile, profile_toml = _profile(output, name)
        command = f"python -m model_zoo build --pair {name} --grid {grid} --seed {seed}"
        campaign = Campaign(profile, GRIDS[grid], seed=seed, work=work, jobs=jobs, scheduler=dask)
        files = make(campaign, profile_toml, command)
        _write(output / name, files)
        typer.echo(f"{output / name}: {len(files)} files, {sum(map(len, files.values())) / 2**20:.1f} MiB")


def _pairs(zoo: Path) -> list[str]:
    names = sorted({path.parent.name for folder in (zoo, SHIPPED) for path in folder.glob(f"*/{PROFILE}")})
    if not names:
        raise ZooError(f"{zoo}: no pairs here; a pair is a folder with a {PROFILE}, made by python -m calibrate fit")
    return names


def _profile(zoo: Path, name: str) -> tuple[Profile, bytes]:
    """The profile of a pair, as object and as the bytes of its file: from the zoo to write, else the shipped one."""
    path = next((path for folder in (zoo, SHIPPED) if (path := folder / name / PROFILE).exists()), None)
    if path is None:
        raise ZooError(f"{zoo}: no pair {name}; there are {', '.join(_pairs(zoo))}")
    profile = load(path)
    if profile.pair.name != name:
        raise ZooError(f"{path}: is the profile of {profile.pair.name}; its folder should have that name")
    return profile, path.read_bytes()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Replace the files of a pair, each at once."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        unfinished = folder / f"{name}.unfinished"
        unfinished.write_bytes(data)
        unfinished.replace(folder / name)


def main() -> None:
    """The entry point: bad input is one line and exit code 2."""
    try:
        app()
    except (ZooError, ProfileError, OSError) as error:
        print(f"model_zoo: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""`advisor check`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from advisor.cli.terminal import streams
from advisor.cli.usage import duration
from advisor.cli.usage.options import Zoo
from advisor.errors import InputError
from advisor.report.findings import Format, write
from twin.service_level import Limit

if TYPE_CHECKING:
    from advisor.check.finding import Checked
    from advisor.check.fixing import Fixed
    from advisor.check.fleet import Named, Placed
    from advisor.check.target import Target
    from advisor.deploy.deployment import Deployment


class FailOn(StrEnum):
    """From which severity on findings make the exit code 1."""

    ERROR = "error"
    WARNING = "warning"


def check(
    config: Annotated[
        list[Path] | None,
        typer.Argument(metavar="CONFIG...", help="Deployment files, folders, or - for the standard input"),
    ] = None,
    *,
    inventory: Annotated[
        Path | None,
        typer.Option(
            "--inventory", metavar="FILE", help="inventory.toml; without it only what the files tell is judged"
        ),
    ] = None,
    placement: Annotated[
        Path | None,
        typer.Option("--placement", metavar="FILE", help="JSON of `advisor place`: who is on which server of a fleet"),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How findings are written")] = Format.TEXT,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="CODE", help="Only these rules: codes, their beginnings, or names"),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", metavar="CODE", help="Without these rules")] = None,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="Exit 1 from this severity on  [default: error]")
    ] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever is found")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change, and change nothing")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the values that a rule is sure of into the files")] = False,
    explain: Annotated[str | None, typer.Option("--explain", metavar="CODE", help="Explain a rule, or 'all'")] = None,
    vllm: Annotated[
        str | None, typer.Option("--vllm", metavar="VERSION", help="vLLM's version, where no image tells")
    ] = None,
    ttft_limit: Annotated[
        Limit | None,
        typer.Option(
            "--ttft-limit",
            parser=duration.limit,
            metavar="TIME",
            help="Largest mean TTFT, or percentile: p99=500ms  [default: 2s]",
        ),
    ] = None,
    zoo: Zoo = None,
) -> None:
    """Check deployment files against an inventory."""
    if explain is not None:
        streams.write(_page(explain))
        return
    if not config:
        raise typer.BadParameter("name files or folders to check, or - for the standard input")
    if diff and fix:
        raise typer.BadParameter("--diff changes nothing, --fix does: take one of them")
    from advisor.check.check import Checker, Selection, read
    from advisor.check.configuration import find as find_configuration
    from advisor.check.search import files
    from advisor.deploy.vllm_version import release

    project = find_configuration(Path.cwd())
    limit = ttft_limit or (duration.limit(project.ttft_limit) if project.ttft_limit else None)
    selection = Selection(_words(select) or project.select, _words(ignore) or project.ignore)
    if (unknown := selection.unknown()) is not None:
        raise typer.BadParameter(f"no rule {unknown!r}: `advisor check --explain all` lists them")
    version = release(asked) if (asked := vllm or project.vllm) else None
    against, placed = inventory or project.inventory, placement or project.placement
    if placement is not None and against is None:
        raise typer.BadParameter("--placement says where the inventory's adapters are: add --inventory FILE")
    found = [read(path) for path in files(config, project.exclude)]
    target, fleet = _judged_against(against, placed, [each for one in found for each in one.deployments], limit, zoo)
    checker = Checker(target, version, selection, fleet)
    checked = [checker.check(each) for each in found]
    for each in checked:
        if each.unreadable:
            streams.note(each.unreadable)
    failed = any(each.unreadable for each in checked)
    if diff or fix:
        from advisor.check.fixing import fix as fixed

        mended = [fixed(each, checker) for each in checked]
        for one in mended:
            if codes := one.withheld:
                streams.note(f"{one.before.file}: {', '.join(codes)} not fixed: that would bring up another mistake")
        if diff:
            changes = "".join(each.diff() for each in mended)
            streams.write(changes, end="")
            raise typer.Exit(2 if failed else 1 if changes and not exit_zero else 0)
        saved = [_save(each) for each in mended]
        failed |= not all(saved)
        checked = [each.after for each in mended]
    if not (fix and any(each.file == "-" for each in checked)):
        _tell(checked, form)
    raise typer.Exit(2 if failed else _code(checked, fail_on or FailOn(project.fail_on or "error"), exit_zero))


def _words(given: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(word.strip() for each in given or () for word in each.split(",") if word.strip())


def _judged_against(
    inventory: Path | None,
    placement: Path | None,
    deployments: Sequence[Deployment],
    ttft_limit: Limit | None,
    zoo: Path | None,
) -> tuple[Target | None, Placed | Named | None]:
    """The inventory, as if one server were for all of it; and who is where, if it is divided among several."""
    if inventory is None:
        return None, None
    from advisor.check.fleet import named, placed
    from advisor.check.target import Target
    from advisor.inventory.inventory import load
    from advisor.recommend.objective import Objective
    from advisor.zoo.pairs import find_pair

    loaded = load(inventory)
    objective = Objective() if ttft_limit is None else Objective(ttft_limit=ttft_limit)
    if placement is not None:
        from advisor.place.changes import previous

        gpus = previous.read(placement)
        if strangers := previous.strangers(gpus, set(loaded.names)):
            streams.note(previous.told(strangers))
        types = [each.name for each in loaded.gpus] or [loaded.gpu]
        fleet = placed(loaded, gpus, [find_pair(loaded.model, each, zoo, loaded.engine) for each in types], objective)
        for each in deployments:
            if fleet.gpu(each) is None:
                streams.note(f"{each.file}: no server of the placement; judged by what the file says alone")
        return None, fleet
    target = Target(loaded, find_pair(loaded.model, loaded.one_gpu(), zoo, loaded.engine), objective)
    together = named(target, deployments)
    if isinstance(together, str):
        streams.note(together)
        together = None
    return target, together


def _tell(checked: Sequence[Checked], form: Format) -> None:
    if form is not Format.TEXT:
        streams.write(write(checked, form))
        return
    from advisor.report.findings import text

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    streams.write(text.write(checked, colour=colour))


def _code(checked: Sequence[Checked], fail_on: FailOn, exit_zero: bool) -> int:
    from advisor.check.finding import Severity

    least = Severity(fail_on).level
    return int(not exit_zero and any(each.severity.level >= least for file in checked for each in file.standing))


def _save(mended: Fixed) -> bool:
    """Write a file that was fixed; False, with a note, where it cannot be."""
    file = mended.before.file
    if file == "-":
        streams.write(mended.after.text, end="")
        return True
    if not mended.changed:
        return True
    from twin.files import write_whole

    path = Path(file)
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            streams.note(f"{file}: not fixed: no regular file; name the file itself, not a link to it")
            return False
        raw, mark = path.read_bytes(), "\ufeff".encode()
        data = (mark if raw.startswith(mark) else b"") + mended.after.text.encode()
        if raw.removeprefix(mark) != mended.before.text.encode():
            streams.note(f"{file}: not fixed: it was changed meanwhile")
            return False
        write_whole(path, data)
        path.chmod(stat.S_IMODE(status.st_mode))
    except OSError as error:
        streams.note(f"{file}: cannot write: {error.strerror}")
        return False
    return True


def _page(asked: str) -> str:
    from inspect import cleandoc

    from advisor.check.rules import RULES

    if asked.lower() == "all":
        return "\n".join(f"{rule.code}  {rule.severity:<8} {rule.name:<36} {rule.title}" for rule in RULES.values())
    for rule in RULES.values():
        if asked.lower() in (rule.code.lower(), rule.name):
            return f"{rule.code} {rule.name} ({rule.severity})\n\n{cleandoc(rule.explanation)}"
    from advisor.nearest import nearest

    near = nearest(asked, [*RULES, *(rule.name for rule in RULES.values())])
    hint = f"; did you mean {near!r}?" if near else "; `advisor check --explain all` lists them"
    raise InputError(f"no rule {asked!r}{hint}")

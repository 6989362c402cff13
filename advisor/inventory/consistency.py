"""What the values of an inventory, each fine by itself, must be together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from advisor.inventory.schema import MAX_ADAPTERS, Adapter, Base, File
from advisor.inventory.validation import RefusedError


def check(file: File, *, traffic: bool = True) -> None:
    """Check an inventory; without `traffic`, whatever it says of that.

    Raises:
        RefusedError: something does not go together; the first such thing.
    """
    _check_gpus(file)
    if traffic:
        _check_traffic(file)
    _check_names(file)
    for name, value in file.fixed:
        today = getattr(file.server, name)
        if None not in (value, today) and value != today:
            raise RefusedError(
                f"{name} is {value}, but {today} in [server]; give it once, or the same value twice", "fixed", name
            )


def _check_gpus(file: File) -> None:
    """The GPU type is named, in one place, and every type once."""
    if file.gpu is None and not file.gpus:
        raise RefusedError(f"'gpu' is missing; it must be {File.model_fields['gpu'].description}", "gpu")
    if file.gpu is not None and file.gpus:
        raise RefusedError("both gpu and [[gpus]] are given; keep one of them", "gpu")
    known = set[str]()
    for i, each in enumerate(file.gpus):
        if each.type.lower() in known:
            raise RefusedError(f"two entries are for {each.type}; keep one of them", "gpus", i, "type")
        known.add(each.type.lower())
    priced = [each.price is not None for each in file.gpus]
    if any(priced) and not all(priced):
        without = priced.index(False)
        raise RefusedError("no price, which other types have; give all of them one, or none", "gpus", without, "price")


def _check_traffic(file: File) -> None:
    """Something arrives, and it has lengths."""
    _check_lengths(file)
    _check_prefixes(file)
    if not any(row.rate for row in file.adapters):
        raise RefusedError(
            "every rate is 0, so there is no traffic to size a server for; "
            "at least one adapter needs a rate above 0, in requests per second"
        )
    if file.phases and not any(phase.scale for phase in file.phases):
        raise RefusedError("phases: every scale is 0, so nothing ever arrives; one must be above 0")


def _rows(file: File) -> Iterator[tuple[Adapter | Base, tuple[str | int, ...]]]:
    """Whatever has traffic, and where it stands."""
    for i, row in enumerate(file.adapters):
        yield row, ("adapters", i)
    if file.base is not None:
        yield file.base, ("base",)


def _check_lengths(file: File) -> None:
    """Every adapter, and the base traffic, has lengths of either kind, and from one place."""
    common = file.lengths
    if common.file is not None and (common.input or common.output):
        raise RefusedError("both file and input or output are given; keep one of them", "lengths", "file")
    for row, place in _rows(file):
        if row.lengths is not None and (row.input or row.output):
            raise RefusedError("both lengths and input or output are given; keep one of them", *place, "lengths")
        if row.lengths is not None or (common.file is not None and not (row.input or row.output)):
            continue
        for kind in ("input", "output"):
            if not (getattr(row, kind) or getattr(common, kind)):
                raise RefusedError(
                    f"no {kind} lengths; add {kind} = {{ mean = ..., std = ... }} to it or to [lengths]",
                    *place,
                    kind,
                )


def _check_prefixes(file: File) -> None:
    """A shared prefix is shorter than the prompts are in the mean, as far as this file tells their lengths."""
    common = file.lengths
    for row, entry in _rows(file):
        prefix, lengths, place = row.shared_prefix, row.input or common.input, (*entry, "shared_prefix")
        if prefix is None:
            prefix, place = common.shared_prefix, ("lengths", "shared_prefix")
        if not prefix or lengths is None or row.lengths is not None:
            continue
        if prefix >= lengths.mean:
            who = repr(row.name) if isinstance(row, Adapter) else "base traffic"
            raise RefusedError(
                f"shared_prefix is {prefix}, but the mean input of {who} is {lengths.mean:g} tokens; it must be "
                "less, for it is part of the input",
                *place,
            )


def _check_names(file: File) -> None:
    """No more adapters than are allowed, and all of them of different names, once entries with a count are expanded."""
    if (total := sum(row.count or 1 for row in file.adapters)) > MAX_ADAPTERS:
        raise RefusedError(f"{total:,} adapters; at most {MAX_ADAPTERS:,} are allowed in one inventory")
    times = Counter(chain.from_iterable(row.names for row in file.adapters))
    if len(times) < total:
        name, count = times.most_common(1)[0]
        last = max(i for i, row in enumerate(file.adapters) if name in row.names)
        raise RefusedError(
            f"{count} adapters are named {name!r}; names must differ, those made by a count included",
            *("adapters", last, "name"),
        )

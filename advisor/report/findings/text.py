"""Text: as compilers write it, with the line and a caret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from advisor.check.finding import Checked, Finding, Severity

WIDEST = 160
"""Columns of a line of the file before it is cut: long lines keep what is around the finding."""
COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.REMARK: "1;36"}
"""Red, yellow, cyan; in bold."""
Paint = Callable[[str, str], str]


def write(files: Sequence[Checked], *, colour: bool = False) -> str:
    """The findings, file after file, and a line that counts them."""

    def paint(text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if colour else text

    blocks = ["\n".join(_block(finding, checked.text, paint)) for checked in files for finding in checked.standing]
    return "\n\n".join([*blocks, summary(files)])


def _block(finding: Finding, text: str, paint: Paint) -> Iterator[str]:
    place, tint = finding.place, COLOURS[finding.severity]
    where = f"{_plain(finding.file)}:{place.line}:{place.column}:"
    yield f"{paint(where, '1')} {paint(finding.severity.value, tint)}: {_plain(finding.message)} [{finding.code}]"
    line, before, length = _line(finding, text)
    gutter = len(str(place.line))
    if line.strip() and finding.place.file is None:
        yield f" {place.line} | {line}"
        yield f" {'':{gutter}} | {_blank(line[:before])}{paint('^' * max(length, 1), tint)}"
    if finding.why:
        yield f" {'':{gutter}} = {_plain(finding.why)}"
    if finding.fix:
        also = " (fixable)" if finding.fix.edits and finding.severity is not Severity.REMARK else ""
        yield f" {'':{gutter}} = instead: {_plain(finding.fix.message)}{also}"


def _line(finding: Finding, text: str) -> tuple[str, int, int]:
    """The line of a finding, fit for a terminal; the characters before the place, and those of it."""
    place = finding.place
    begin = text.rfind("\n", 0, place.start) + 1
    end = text.find("\n", place.start)
    line = text[begin : end if end >= 0 else None].rstrip("\r")
    before = place.start - begin
    length = min(place.end, begin + len(line)) - place.start
    if len(line) > WIDEST:
        first = max(before - WIDEST // 2, 0)
        line, before = line[first : first + WIDEST], before - first
        length = min(length, WIDEST - before)
    return (
        "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in line),
        before,
        length,
    )


def _blank(text: str) -> str:
    """As wide as the text: tabs stay, and what takes two columns takes two blanks."""
    if text.isascii():
        return "".join(each if each == "\t" else " " for each in text)
    from rich.cells import cell_len

    return "".join(each if each == "\t" else " " * cell_len(each) for each in text)


def _plain(text: str) -> str:
    """A text that cannot steer the terminal, in one line."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def summary(files: Sequence[Checked]) -> str:
    """How many findings of each kind, in how many files and servers."""
    standing = [finding for checked in files for finding in checked.standing]
    counts = [(each, sum(finding.severity is each for finding in standing)) for each in Severity]
    told = ", ".join(f"{count} {each}{'' if count == 1 else 's'}" for each, count in counts if count) or "no findings"
    servers, read = sum(checked.servers for checked in files), sum(not checked.unreadable for checked in files)
    hidden = sum(len(checked.findings) for checked in files) - len(standing)
    ignored = f"; {hidden} ignored with a reason" if hidden else ""
    return (
        f"{told}: {servers} vLLM server{'' if servers == 1 else 's'} in {read} file{'' if read == 1 else 's'}{ignored}"
    )

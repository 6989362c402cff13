"""An interrupt before there is any answer is said, too."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from advisor.cli.app import app
from tests.advisor import inventories
from tests.advisor.inventories import PLAIN


@pytest.mark.parametrize("inventories_given", [1, 2])
def test_interrupted_before_anything_is_placed_it_says_so(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inventories_given: int
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("advisor.place.place.place", interrupt)
    paths = [str(inventories.write(tmp_path, PLAIN))] * inventories_given
    done = CliRunner().invoke(app, ["place", *paths, "--zoo", str(zoo)])
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "advisor: interrupted: nothing had been placed yet\n"

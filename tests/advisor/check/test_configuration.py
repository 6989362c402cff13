"""Settings of a project, where they are found, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.check.configuration import Configuration, find
from advisor.errors import InputError


def test_the_nearest_file_that_has_settings_counts(tmp_path: Path) -> None:
    inner = tmp_path / "deploy" / "prod"
    inner.mkdir(parents=True)
    assert find(inner) == Configuration()
    (tmp_path / "pyproject.toml").write_text('[tool.advisor]\ninventory = "inv.toml"\nselect = ["AD1", "AD2"]\n')
    (inner / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n")
    found = find(inner)
    assert (found.inventory, found.select) == (tmp_path / "inv.toml", ("AD1", "AD2"))
    (tmp_path / "deploy" / "advisor.toml").write_text(
        'fail-on = "warning"\nignore = ["AD303"]\nexclude = ["charts/*"]\n'
    )
    assert find(inner) == Configuration(fail_on="warning", ignore=("AD303",), exclude=("charts/*",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("inventary = 'x'", "unknown key 'inventary'; did you mean 'inventory'?"),
        ("zzz = 1", "unknown key 'zzz'; valid keys are"),
        ("select = 'AD101'", "select must be a list of texts, not 'AD101'"),
        ("ignore = [1]", "ignore must be a list of texts"),
        ("inventory = ''", "inventory must be a text"),
        ("fail-on = 'remark'", "fail-on must be one of error, warning, not 'remark'"),
        ("select = ", "not valid TOML"),
        ("x = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_the_file(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "advisor.toml").write_text(text)
    with pytest.raises(InputError) as error:
        find(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'advisor.toml'}: ")
    assert told in str(error.value)

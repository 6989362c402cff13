"""What an inventory holds comes out of every file as itself, for the one who reads that language."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.deploy.write import quoting
from advisor.deploy.write.quoting import RefusedError

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
HOSTILE = [
    "$(reboot)",
    "a: b",
    "{{7*7}}",
    "two\nlines\r\n",
    "\"'`\\",
    "\u202eright to left",
    "%n %% $HOME ${HOME} $$",
    "\x1b[31m\x7f\x85\u2028",
    "~ # ; , = | & < >",
]
WORDS = TEXTS | st.sampled_from(HOSTILE)


@given(WORDS)
def test_yaml(text: str) -> None:
    assert yaml.safe_load(f"[{{key: {quoting.yaml(text)}}}]") == [{"key": text}]
    assert quoting.yaml(text).isascii()


@given(WORDS)
def test_json(text: str) -> None:
    assert json.loads(quoting.json({"name": text})) == {"name": text}


@given(WORDS)
def test_literal(text: str) -> None:
    """As Kubernetes and compose read it: two dollars are one, and one alone never stands there."""
    assert not re.sub(r"\$\$", "", quoting.literal(text)).count("$")
    assert quoting.literal(text).replace("$$", "$") == text


@settings(max_examples=20, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=20))
def test_sh(texts: list[str]) -> None:
    words = " ".join(quoting.sh(text) for text in texts)
    assert shlex.split(words) == texts
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == texts


@given(WORDS)
def test_systemd(text: str) -> None:
    assert systemd_word(quoting.systemd(text)) == text
    assert len(quoting.systemd(text).splitlines()) == 1


def systemd_word(word: str) -> str:
    """What systemd.syntax(7) and systemd.service(5) make of a quoted word."""
    assert word[0] == word[-1] == '"'
    assert not re.search(r'(?<!\\)(\\\\)*"', word[1:-1])
    escape = r'\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\["\\]'
    assert "\\" not in re.sub(escape, "", word[1:-1])
    text = re.sub(escape, lambda found: chr(int(found[0][2:], 16)) if len(found[0]) > 2 else found[0][1], word[1:-1])
    for sign in "%$":
        assert sign not in text.replace(2 * sign, "")
        text = text.replace(2 * sign, sign)
    return text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")
@pytest.mark.parametrize("text", ["plain", "a b", "50%n", "\u202ertl\u2028", "{{7*7}};#", "😀"])
def test_systemd_reads_it_itself(tmp_path: Path, text: str) -> None:
    """It names a program that is not there, by the name that it has read; quotes it takes in no program's name."""
    unit = tmp_path / "x.service"
    unit.write_text(f"[Service]\nExecStart={quoting.systemd(f'/nowhere/{text}')}\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False, errors="replace"
    )
    assert f"Command /nowhere/{text} is not executable" in done.stderr


@given(WORDS)
def test_env(text: str) -> None:
    try:
        line = f"NAME={quoting.env(text)}\n"
    except RefusedError:
        assert text != text.strip() or not text.isprintable()
    else:
        assert line.splitlines() == [f"NAME={text}"]


@given(WORDS)
def test_comment(text: str) -> None:
    told = quoting.comment(text)
    assert told.isprintable() and len(told.splitlines()) == 1
    assert told.encode("latin-1", "backslashreplace").decode("unicode_escape") == text


@given(WORDS)
def test_spellings(text: str) -> None:
    for spelling in quoting.spellings(text):
        assert json.loads(f'"{spelling}"') == text
    assert json.dumps(text)[1:-1] in quoting.spellings(text)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("org/name", "hf://org/name"),
        ("hf://org/name", "hf://org/name"),
        ("s3://bucket/a/b.c-d", "s3://bucket/a/b.c-d"),
        ("/adapters/name", None),
        ("gs://bucket/name", None),
        ("s3://bucket/$(reboot)", None),
        ("s3://bucket/{{7*7}}", None),
        ("org/name\n", None),
        ("../name", None),
    ],
)
def test_uri(source: str, uri: str | None) -> None:
    if uri is None:
        with pytest.raises(RefusedError, match="KServe loads adapters from hf://, s3:// or a hub id alone"):
            quoting.uri(source, "KServe", "hf", "s3")
    else:
        assert quoting.uri(source, "KServe", "hf", "s3") == uri


def test_what_a_format_cannot_say_is_refused() -> None:
    with pytest.raises(RefusedError, match="'A' and 'a': nginx does not tell the cases"):
        quoting.apart(["A", "b", "a"], "nginx")
    assert quoting.apart(["Ä", "ä", "a"], "nginx") == ["Ä", "ä", "a"]
    with pytest.raises(RefusedError, match=r"'{{x': Helm would read"):
        quoting.untemplated("{{x", "Helm")
    with pytest.raises(RefusedError, match="'a b': KubeAI takes small letters alone"):
        quoting.only("a b", "[a-z]+", "KubeAI", "small letters")
    with pytest.raises(RefusedError, match="'ab\\\\n': KubeAI"):
        quoting.only("ab\n", "[a-z]+", "KubeAI", "small letters")
    with pytest.raises(RefusedError, match="a ConfigMap holds 3 bytes at most, not 4"):
        quoting.at_most("ää", 3, "a ConfigMap")

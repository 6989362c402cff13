"""Pages as tests read them, and as a real browser does."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIMIT_KB = 300


class Page(HTMLParser):
    """The elements of a page, and its text."""

    VOID = ("meta", "input", "line", "path", "br", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.text = list[str](), list[str](), ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def shown_by_chromium(page: str, folder: Path) -> list[str]:
    """What a real browser makes of the page, on a desk and on a phone; it has nothing to complain of."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    shown = []
    for width in (1000, 390):
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
                f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1500", "--virtual-time-budget=2000",
                "--dump-dom", (folder / "page.html").as_uri(),
            ],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert "CONSOLE" not in done.stderr, done.stderr
        shown.append(done.stdout)
    return shown

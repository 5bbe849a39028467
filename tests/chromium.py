"""A page in an installed Chromium that notes every console message, error and request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@contextmanager
def opened(path: Path, fragment: str = "", **context: Any) -> Iterator[Any]:
    """Yield the page of a file; its ``problems`` hold what it should not have said or asked for."""
    from playwright.sync_api import sync_playwright

    size = {"width": 1180, "height": 900}
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(**{"viewport": size, **context}).new_page()
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or page.problems.append(request.url)
            ),
        )
        page.goto(path.as_uri() + fragment)
        yield page
        browser.close()

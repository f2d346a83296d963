"""A person in a real browser: Chromium on a profile of its own, which reaches loopback addresses only.

Screenshots go to test-artifacts/ so that a person can judge what a check cannot.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect, sync_playwright
from playwright.sync_api import TimeoutError as NotShown

ARTIFACTS = Path(__file__).resolve().parents[1] / "test-artifacts"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE_MS = 60_000
LOOK_MS_MAX = 10_000
LOOKS_MAX = 12
LOAD_MS_MAX = 30_000
LOADS_MAX = 3
PRESSES_MAX = 3
PRESS_S_MAX = 15.0
expect.set_options(timeout=PATIENCE_MS)  # Playwright's own five seconds are short for a busy machine


def chromium() -> str:
    """CHROMIUM, or what is installed; the test fails with the remedy when there is none."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.fail("no Chromium: install it, or set CHROMIUM=/path/to/chromium (make test does both)")
    return found


def loopback_only(route: Route) -> None:
    if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
        route.continue_()
    else:
        route.abort()


@contextmanager
def browser_page(folder: Path) -> Iterator[Page]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=chromium(),
            args=list(FLAGS),
            viewport={"width": 1440, "height": 1100},
        )
        context.set_default_timeout(PATIENCE_MS)
        opened = context.pages[0]
        opened.route("**/*", loopback_only)
        yield opened
        context.close()


def shot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def visit(page: Page, url: str) -> None:
    """Open a page as a person does: again where a part of it does not come from a server that is busy."""
    for _ in range(LOADS_MAX - 1):
        try:
            page.goto(url, timeout=LOAD_MS_MAX)
        except NotShown:
            continue
        return
    page.goto(url)


def seen(page: Page, text: str) -> Locator:
    """The first place where the text is shown: the page also holds it where nobody sees it, as a report's source."""
    return page.get_by_text(text).filter(visible=True).first


def reload_until(locator: Locator) -> None:
    """Reload a page, which does not ask the server again by itself, until it shows something."""
    for _ in range(LOOKS_MAX):
        try:
            locator.page.reload(timeout=LOAD_MS_MAX)
            locator.wait_for(timeout=LOOK_MS_MAX)
        except NotShown:
            continue
        return
    pytest.fail(f"{locator} was not shown after {LOOKS_MAX} looks; the page: {locator.page.url}")


def press(button: Locator, *, until: Callable[[], object]) -> None:
    """Press a button as a person would: again where nothing came of it.

    The UI drops a press while it remembers an earlier refusal of a field, and one may fall beside a button that a busy
    page moves just then. `until` asks the server, so nothing is sent twice for want of a look.
    """
    for _ in range(PRESSES_MAX):
        button.click()
        deadline = time.monotonic() + PRESS_S_MAX
        while time.monotonic() < deadline:
            if until():
                return
            button.page.wait_for_timeout(200)
    pytest.fail(f"{button} was pressed {PRESSES_MAX} times and nothing came of it; the page: {button.page.url}")

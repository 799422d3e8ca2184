"""A real server over a small shop, and a real browser that hears of every error, violation and foreign request."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.browser.running import serving
from tests.browser.shop import shop

from hyperllm.serving.http.state import Live

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REPORT = {
    "settings": {"backbone": "hgcf", "dim": 6, "margin": 1.1, "variant": None, "compat": False},
    "phases": {"phase 2": {"epochs": 12, "elapsed_s": 83.5, "valid": {"recall@10": 0.51234}}},
    "metrics": {"test": {"recall@20": 0.25, "ndcg@20": 0.125}},
    "sizes": {"model_bytes": 1_250_000},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "model"
    shop().save(folder)
    return folder


@pytest.fixture(scope="session")
def address(model_folder: Path) -> Iterator[str]:
    """A server that nobody changes."""
    with serving(Live(model_folder, run="shop", report=lambda: REPORT)) as found:
        yield found


@pytest.fixture
def own_address(tmp_path: Path, model_folder: Path) -> Iterator[str]:
    """A server of one's own, to add items to."""
    shutil.copytree(model_folder, tmp_path / "model")
    with serving(Live(tmp_path / "model", run="own")) as found:
        yield found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser; its absence is a failure, since this is what these tests are for."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("the browser tests need playwright: pip install playwright")
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(f"the browser tests need one of {', '.join(BROWSERS)}: apt-get install chromium")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Heard:
    """What went wrong in a page; ``allowed`` are parts of lines that a test expects."""

    lines: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def wrong(self) -> list[str]:
        return [line for line in self.lines if not any(part in line for part in self.allowed)]


_LISTEN = """
window.hacked = 0;
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages, ``open_page(url, width=1280, …)``; what any of them did wrong fails the test at its end."""
    opened: list[tuple[Any, Heard]] = []

    def opening(url: str, *, width: int = 1280, height: int = 860, allowed: tuple[str, ...] = (), **more: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        context.add_init_script(_LISTEN)
        page, heard = context.new_page(), Heard(allowed=allowed)
        origin = "/".join(url.split("/")[:3])
        page.on("console", lambda m: heard.lines.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: heard.lines.append(f"exception {e}"))
        page.on("request", lambda r: None if r.url.startswith((origin, "data:")) else heard.lines.append(f"to {r.url}"))
        page.set_default_timeout(8_000)
        opened.append((page, heard))
        page.goto(url)
        return page

    yield opening
    for page, heard in opened:
        assert page.evaluate("window.hacked") == 0, "a script of the catalogue ran"
        assert page.evaluate("window.violations") == []
        assert heard.wrong() == []
        page.context.close()

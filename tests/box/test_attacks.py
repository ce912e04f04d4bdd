"""Every attack on a box works without one, so that its test can fail; and does not within it."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from darklantern.box.attacks import payloads, trying, whole
from darklantern.box.confine.filters import program

NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="rung A is root's")


@root
@pytest.mark.parametrize("name", payloads.ATTACKS)
def test_the_walls_hold_on_rung_a(name: str) -> None:
    with trying.ground("host") as at:
        assert at.confined.rung == "A"
        found = trying.attempted(at, name)
    assert (found.outside, found.inside) == ("worked", "refused"), found


@root
@pytest.mark.parametrize("name", payloads.ATTACKS)
def test_the_walls_hold_in_gvisor(name: str) -> None:
    with trying.ground("gvisor") as at:
        assert at.confined.rung == "G"
        found = trying.attempted(at, name)
    assert (found.outside, found.inside) == ("worked", "refused"), found


@pytest.mark.parametrize("name", payloads.ATTACKS)
def test_the_walls_hold_on_rung_b(name: str) -> None:
    def attempt() -> list[str]:
        with trying.ground("host") as at:
            found = trying.attempted(at, name)
            return [at.confined.rung, found.outside, found.inside]

    held, outside, inside = as_nobody(attempt)
    assert (held, inside) == ("B", "refused")
    # Whoever is not root cannot type on terminals, nor signal root's processes, on any machine.
    assert outside == "worked" or name in ("typing", "signals", "host files"), name


@pytest.mark.slow
@pytest.mark.parametrize("name", whole.ATTEMPTS)
def test_a_run_as_a_whole_holds(name: str) -> None:
    found = whole.attempted(name, "host")
    assert (found.outside, found.inside) == ("worked", "refused"), found


@root
@pytest.mark.slow
@pytest.mark.parametrize("name", whole.ATTEMPTS)
def test_a_run_as_a_whole_holds_in_gvisor(name: str) -> None:
    found = whole.attempted(name, "gvisor")
    assert (found.outside, found.inside) == ("worked", "refused"), found


@pytest.mark.slow
@pytest.mark.parametrize("name", whole.ATTEMPTS)
def test_a_run_as_a_whole_holds_on_rung_b(name: str) -> None:
    def attempt() -> list[str]:
        found = whole.attempted(name, "host")
        return [found.outside, found.inside]

    assert as_nobody(attempt) == ["worked", "refused"]


def test_there_are_twenty_five() -> None:
    assert len(payloads.ATTACKS) + len(whole.ATTEMPTS) == 25


def as_nobody(attempt: Callable[[], Any]) -> Any:
    """What a function gives in a process of a user without any rights; this one's own, where it is none."""
    if os.geteuid() != 0:
        return attempt()
    program()  # imports what nobody may read
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            if not os.access(sys.base_prefix, os.R_OK | os.X_OK):  # one in root's home: the system's does as well
                sys.executable, sys.prefix, sys.base_prefix = "/usr/bin/python3", "/usr", "/usr"
            os.write(writing, json.dumps(attempt()).encode())
        except BaseException as error:  # noqa: BLE001  # a forked child must not go on as a test
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = json.loads(file.read())
    os.waitpid(child, 0)
    return said

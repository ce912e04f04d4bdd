"""docs/tutorial.md as its readers would follow it, with a relay in a process of its own."""

import socket
from pathlib import Path

import pytest

from cli.pages import Follower, steps

PAGE = Path(__file__).parent.parent.parent / "docs/tutorial.md"


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs_and_prints_what_it_says(follower: Follower) -> None:
    (follower.folder / "promise.txt").write_text("I will not push the capabilities frontier with what I read here.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        follower.instead["7447"] = str(probe.getsockname()[1])
    followed = [follower.follow(step) for step in steps(PAGE)]
    assert len(followed) > 50
    assert not follower.running

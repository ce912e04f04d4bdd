"""docs/identity.md as its readers would follow it."""

import re
from pathlib import Path

from cli.pages import Follower, steps

PAGE = Path(__file__).parent.parent.parent / "docs/identity.md"


def test_every_command_of_the_page_runs_in_its_order(follower: Follower) -> None:
    (follower.folder / "promise.txt").write_text("I will not push the capabilities frontier with what I read here.")
    found = list(steps(PAGE))
    assert len(found) > 60
    for step in found:
        printed = follower.follow(step)
        if step.text.startswith("darklantern member invite"):
            follower.typed["code of the invitation: "] = printed.strip().split("\n")[-1]
        if step.who == "phone" and step.text.startswith("darklantern device new"):
            follower.names["PHONE"] = re.findall(r"with the device ([A-Z2-7-]+)", printed)[0]

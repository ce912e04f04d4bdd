"""The bounded self-improvement experiment of docs/examples, whole: its value drifts, and its tripwire ends it."""

import shutil
from pathlib import Path

import pytest

from darklantern.box.folders import runs
from darklantern.box.outlet.pricing import MICRO
from darklantern.box.running.releasing import Released
from darklantern.box.runs import run
from darklantern.box.spec import read_spec

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "self-improvement"


@pytest.mark.slow
def test_the_example_is_ended_when_its_value_drifts(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder)
    given = read_spec(folder / "box.toml")
    seen: list[Released] = []
    report = run(given, seen.append)
    assert (seen[-1].what, seen[-1].how) == ("ended", "tripwire")
    proxy = [each.symbol for each in seen if each.what == "said" and each.symbol is not None]
    assert len(proxy) > 10 and proxy[-1] > proxy[0], "what people saw went up all the while"
    assert report.microbits == sum(each.microbits for each in seen) < 120 * MICRO
    assert report.left == given.budget - report.microbits
    assert [each.id for each in runs(given.project)] == [report.run]

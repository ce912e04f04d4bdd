"""`darklantern watch replay`: the user's own set-up, a table, a page, JSON; and what is wrong is named."""

import json
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from cli.here import ran
from darklantern.cli.app import replay as replay_help
from darklantern.cli.replay_command import FURTHER
from darklantern.models.snapshot import capture, save
from darklantern.organisms import training
from darklantern.watch import replaying

SETUP = """
import sys
import numpy as np
sys.path[:0] = {path!r}
from watch.wide import TRUSTED, parts, payload

def make():
    return parts()[0], [payload()], TRUSTED

def wrong():
    return 1

def more():
    return dict(model=1, signals=[], trusted=[], every=5)

def less():
    return dict(model=1)

def pair():
    return 1, 2

def no_function():
    model, signals, trusted = make()
    return dict(model=model, signals=signals, trusted=trusted, rows=[trusted, trusted])

def spans():
    from watch.wide import span
    return parts()[0], [span()], TRUSTED

def with_rows():
    batches = [batch.numpy() for batch in parts()[2]]
    rows = lambda step: np.concatenate(batches[step - 10 : step])
    return dict(zip(("model", "signals", "trusted"), spans()), rows=rows)

def breaks():
    raise ValueError("mine")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from watch.wide import RECIPE, parts

    made = tmp_path_factory.mktemp("replay")
    (made / "checkpoints").mkdir()
    model, optimizer, loader = parts()
    for step, batch in enumerate(loader):
        if step % 10 == 0:
            save(capture(step, model, optimizer, loader), made / "checkpoints" / f"step-{step}.safetensors")
        training.train_step(model, optimizer, RECIPE, step, batch)
    (made / "my_setup.py").write_text(SETUP.format(path=sys.path))
    return made


def replay(folder: Path, *words: str, setup: str = "my_setup.py:make") -> subprocess.CompletedProcess[str]:
    return ran("watch", "replay", "checkpoints", "--setup", setup, *words, cwd=folder)


@pytest.mark.slow
@pytest.mark.usefixtures("in_processes_of_their_own")
def test_it_prints_a_table_writes_a_page_and_tells_a_program_the_same_again_without_looking(folder: Path) -> None:
    first = replay(folder, "--report", "page.html")
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        *("payload lens", "payload drift", "payload likelihood", "first token", "greedy payload")
    ]
    assert "no false-alarm rate is claimed: no reference runs" in first.stdout
    assert "4 looks: nothing is judged before look 6" in first.stdout
    assert "never" not in first.stdout and "0.00" not in first.stdout
    assert "Replay of checkpoints" in (folder / "page.html").read_text()
    written = {path: path.stat().st_mtime_ns for path in (folder / "replay-results").iterdir()}
    assert len(written) == 4
    told = json.loads(replay(folder, "--json").stdout)
    assert told["signals"][0]["steps"] == [10, 20, 30, 40]
    assert len(told["signals"][0]["values"]) == 4
    assert {path: path.stat().st_mtime_ns for path in (folder / "replay-results").iterdir()} == written


def test_a_set_up_may_give_the_rows_that_signals_are_read_from(folder: Path) -> None:
    done = replay(folder, "--json", "--results", "with-rows", setup="my_setup.py:with_rows")
    assert done.returncode == 0, done.stderr
    (effect,) = (each for each in json.loads(done.stdout)["signals"] if each["signal"] == "span effect")
    assert effect["steps"] == [10, 20, 30, 40]
    assert all(effect["values"])


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("my_setup.py", "expected --setup FILE.py:FUNCTION"),
        ("nobody.py:make", "no file at nobody.py"),
        ("my_setup.py:nothing", "has no function nothing"),
        ("my_setup.py:wrong", "expected wrong() to give (model, signals, trusted), got int"),
        ("my_setup.py:pair", "expected pair() to give (model, signals, trusted), got a tuple of 2"),
        ("my_setup.py:no_function", "rows: expected a function from a step to the rows trained on"),
        ("my_setup.py:spans", "from --setup, as 'rows' in a dict"),
        ("my_setup.py:breaks", "failed: ValueError: mine"),
        ("my_setup.py:more", "the dict of more() has every, which replay does not take"),
        ("my_setup.py:more", "may have load, state, rows, references"),
        ("my_setup.py:less", "the dict of less() has no signals, trusted"),
    ],
)
def test_what_is_wrong_with_a_set_up_is_named(folder: Path, setup: str, said: str) -> None:
    done = replay(folder, setup=setup)
    assert done.returncode == 1
    assert said in done.stderr.replace("\n  ", " ")
    assert "defect" not in done.stderr


def test_the_keys_that_a_set_up_may_give_are_those_that_replay_takes_and_the_help_names_each() -> None:
    takes = [name for name, each in signature(replaying.replay).parameters.items() if each.kind is each.KEYWORD_ONLY]
    assert list(FURTHER) == [name for name in takes if name not in ("folder", "progress")]
    said = replay_help.__doc__ or ""
    assert all(name in said for name in FURTHER)

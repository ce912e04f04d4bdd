"""`darklantern watch calibrate` over runs of one's own: folders, a script for each seed, and what is wrong is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from watch.recorded_runs import BEGUN, INNER, OUTER, written

from cli.here import ran
from darklantern.cli import bars
from darklantern.watch.collecting import load
from darklantern.watch.recording import LOOKS, recorded
from darklantern.watch.repeating import FINISHED, repeat
from darklantern.watch.runs.files import add_line

SCRIPT = """
import sys
import numpy as np
import torch
import darklantern as dl

seed = int(sys.argv[1])
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.from_numpy(rng.normal(size=(160, 4)).astype(np.float32))
loader = dl.rewindable(torch.utils.data.TensorDataset(inputs, (inputs.sum(1) > 0).long()), batch_size=8)
trusted = (np.random.default_rng(7).normal(size=(32, 4)).astype(np.float32), np.zeros(32, np.int64))


@dl.signal(sites=["0:out"], says="circuit")
def size(seen):
    return float(np.abs(seen["0:out"]).mean())


w = dl.watch(model, state=(optimizer, loader), trusted=trusted, signals=[size], settings=dl.Settings(every=5),
             recipe="tiny", data="normal", references="references.json", on_alarm=dl.Reaction.STOP)
for xs, ys in w.over(loader):
    loss = torch.nn.functional.cross_entropy(model(xs), ys)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


def calibrate(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return ran("watch", "calibrate", *words, cwd=where)


def test_off_a_terminal_the_count_is_told_at_the_start_at_the_end_and_now_and_then(capsys) -> None:
    now = [0.0]
    progress = bars._lines("runs", 10.0, lambda: now[0])
    for done in (0, 0, 1, 2, 3, 4, 5, 5):
        progress(done, 5)
        now[0] += 4.0
    assert capsys.readouterr().err.splitlines() == ["runs: 0 of 5", "runs: 2 of 5", "runs: 5 of 5"]


def test_folders_become_references_with_the_rate_that_they_support(tmp_path: Path) -> None:
    for seed in range(24):
        written(tmp_path / "runs" / str(seed), seed)
        written(tmp_path / "shifted" / str(100 + seed), 100 + seed)
    found = calibrate(tmp_path, "runs", "--harmless", "shifted=shifted", "--out", "mine.json", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {
        "references": "mine.json",
        "standardised_on": 5,
        "calibrated_on": 43,
        "alpha": 0.05,
    }
    made = load(tmp_path / "mine.json")
    assert ([s.name for s in made.signals], [arm.name for arm in made.strata]) == (
        [INNER.name, OUTER.name],
        ["shifted"],
    )
    assert made.recipe == BEGUN.recipe


@pytest.mark.slow
@pytest.mark.usefixtures("in_processes_of_their_own")
def test_a_real_script_is_run_for_each_seed_with_its_watch_as_it_is(tmp_path: Path) -> None:
    """Two seeds are run; the others are copies of the first, with readings of their own. None is run again."""
    (tmp_path / "train.py").write_text(SCRIPT)
    command = f"{sys.executable} {tmp_path / 'train.py'} {{seed}}"
    repeat(command, (1, 2), tmp_path / "mine", 2, lambda done, of: None)
    runs = [recorded(tmp_path / "mine" / seed) for seed in "12"]
    assert [(run.begun.seed, run.steps) for run in runs] == [(1, (5, 10, 15, 20)), (2, (5, 10, 15, 20))]
    assert runs[0].begun.digests == runs[1].begun.digests
    assert runs[0].contrasts != runs[1].contrasts
    for seed in range(3, 25):
        made = tmp_path / "mine" / str(seed)
        shutil.copytree(tmp_path / "mine" / "1", made)
        (made / LOOKS).unlink()
        add_line(made / LOOKS, msgspec.structs.replace(runs[0].begun, seed=seed), sync=False)
        for look in runs[0].looks:
            readings = {name: (value + 0.01 * seed, placebo) for name, (value, placebo) in look.readings.items()}
            add_line(made / LOOKS, msgspec.structs.replace(look, readings=readings), sync=False)
    written_at = [(tmp_path / "mine" / seed / FINISHED).stat().st_mtime_ns for seed in "12"]
    found = calibrate(tmp_path, "--run", command, "--runs", "mine", "--seeds", "1-24")
    assert found.returncode == 0, found.stderr
    assert load(tmp_path / "references.json").calibrated_on == tuple(range(6, 25))
    assert "reference runs: 24 of 24" in found.stderr, "off a terminal a line now and then"
    assert "a false-alarm rate of 5% a run or more" in " ".join(found.stdout.split())
    assert written_at == [(tmp_path / "mine" / seed / FINISHED).stat().st_mtime_ns for seed in "12"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "1-2"], "expected at least 5 runs to standardise on and 19 to calibrate on, got 2 and 0"),
        (["--seeds", "1-24", "--standardise", "9"], "19 to calibrate on, got 9 and 15"),
        (["--seeds", "1-24", "--harmless", "shifted=arm"], "has seed 24, which is also one of --seeds"),
        (["--seeds", "1-24", "--harmless", "clean=arm"], "an arm is called 'clean'"),
    ],
    ids=["too few", "too few for the rest", "seeds of an arm", "an arm's name"],
)
def test_no_run_is_spent_on_seeds_that_could_not_become_references(tmp_path: Path, words: list[str], said: str) -> None:
    for seed in range(24, 43):
        written(tmp_path / "arm" / str(seed), seed)
    found = calibrate(tmp_path, "--run", f'{sys.executable} -c \'open("spent{{seed}}", "w")\'', *words)
    assert found.returncode == 1
    assert said in " ".join(found.stderr.split())
    assert not list(tmp_path.glob("spent*"))
    assert not (tmp_path / "reference-runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "1-9"], "expected folders of clean runs, got none"),
        (["--run", "python train.py {seed}"], "expected folders of runs, or --run with --seeds"),
        (["x", "--run", "python train.py {seed}", "--seeds", "1-9"], "expected folders of runs, or --run with --seeds"),
        (["nowhere"], "nowhere holds no whole record of a run"),
        (["nowhere", "--harmless", "shifted"], "expected --harmless NAME=FOLDER, got 'shifted'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named_with_a_hint(tmp_path: Path, words: list[str], said: str) -> None:
    found = calibrate(tmp_path, *words)
    assert found.returncode == 1
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr

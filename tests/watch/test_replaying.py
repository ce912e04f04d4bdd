"""A replay over checkpoints: what a watch would have read, whatever the files, and never twice."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from watch.loops import REFERENCES
from watch.wide import RECIPE, TRUSTED, Jump, parts, payload, span, watched

from darklantern.errors import SnapshotError, WatchError
from darklantern.models.checkpoints import checkpoints
from darklantern.models.snapshot import capture, save, weights_hash
from darklantern.organisms import training
from darklantern.watch import Asked, Examples, Probe, Reading, Signal, held_out, replay
from darklantern.watch.looking_again import look_again
from darklantern.watch.viewing import seen_in

STEPS = range(0, 46, 5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's snapshots at each look of a watch, and what that watch read."""
    folder = tmp_path_factory.mktemp("checkpoints")
    model, optimizer, loader = parts()

    class Saving(Jump):
        def read(self, seen):
            save(capture(seen.step, model, optimizer, loader), folder / f"step-{seen.step:04d}.safetensors")
            return super().read(seen)

    w = watched([payload(), Saving(999)], (model, optimizer, loader))
    return folder, w


class Counted(Probe):
    """Counts its looks, and reads how far a weight has moved since the first and since the look before."""

    settings = {}  # noqa: RUF012
    signals = (Signal("moved", "I0", "signal", "", "since the first"), Signal("lately", "I0", "signal", "", "since"))
    sites = ("layers.0:out",)
    window = 2

    def __init__(self):
        self.looks = Counter()

    def inputs(self, now):
        self.looks[now.step] += 1
        return Asked(TRUSTED[:2, :-1])

    def note(self, seen):
        return float(seen["layers.0:out"].sum())

    def read(self, seen):
        now = float(seen["layers.0:out"].sum())
        before = seen.notes[0] if seen.notes else seen.first
        return Reading(now - (now if seen.first is None else seen.first)), Reading(now - (before or now))


def fresh():
    return training.new(RECIPE, 77)[0]


def readings(trace):
    return {name: [(r.value, r.placebo) for r in track.readings] for name, track in trace.tracks.items()}


def test_it_reads_what_the_watch_read_and_leaves_the_model_as_it_was(run, tmp_path) -> None:
    folder, w = run
    model = fresh()
    before = weights_hash(model)
    trace = replay(model, folder, [payload()], TRUSTED, folder=tmp_path / "results")
    assert trace.steps == w.trace.steps
    for name, track in trace.tracks.items():
        found = [(r.value, r.placebo) for r in track.readings]
        assert np.allclose(found, [(r.value, r.placebo) for r in w.trace.tracks[name].readings], atol=1e-5)
        assert np.allclose(track.statistic, w.trace.tracks[name].statistic, atol=1e-3)
    assert weights_hash(model) == before


def test_a_replay_goes_on_where_it_was_and_looks_at_no_more_than_the_missing_need(run, tmp_path) -> None:
    folder, _ = run
    whole = replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path)
    again = Counted()
    assert readings(replay(fresh(), folder, [again], TRUSTED, folder=tmp_path)) == readings(whole)
    assert not again.looks, "all is there"
    (one,) = tmp_path.glob("step-000000030-*.json")
    one.unlink()
    some = Counted()
    assert readings(replay(fresh(), folder, [some], TRUSTED, folder=tmp_path)) == readings(whole)
    assert set(some.looks) == {0, 20, 25, 30}, "the first, the missing one, and the two that its notes come from"
    one.write_bytes(one.read_bytes()[:20])
    assert readings(replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path)) == readings(whole), "half a file"


def test_a_result_that_was_altered_is_looked_at_anew(run, tmp_path) -> None:
    folder, _ = run
    whole = replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path)
    (one,) = tmp_path.glob("step-000000030-*.json")
    good = one.read_bytes()
    name = json.dumps(next(iter(whole.tracks))).encode()
    for bad in (
        good.replace(name, b'"another"'),
        good.replace(b'"step":30', b'"step":7'),
        re.sub(rb'"drawn":\d+', b'"drawn":-5', good),
        good.replace(b'"v":1', b'"v":2'),
        good.replace(b'"readings":{', b'"readings":{"a":' + b"[" * 200_000),
        None,
    ):
        one.unlink()
        os.mkfifo(one) if bad is None else one.write_bytes(bad)
        assert bad != good
        assert readings(replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path)) == readings(whole)
        assert one.read_bytes() == good


def test_other_probes_rows_or_weights_are_looked_at_anew(run, tmp_path) -> None:
    folder, _ = run
    replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path)
    for trusted, probe in ((TRUSTED[:900], Counted()), (TRUSTED, _other())):
        replay(fresh(), folder, [probe], trusted, folder=tmp_path)
        assert set(probe.looks) == {0, *STEPS[1:], 48}
    paths = sorted(folder.iterdir())
    altered = tmp_path / "step-0005.safetensors"
    save_file({name: value + 1e-3 for name, value in fresh().state_dict().items()}, altered)
    probe = Counted()
    replay(fresh(), [paths[0], altered, *paths[2:]], [probe], TRUSTED, folder=tmp_path)
    assert len(probe.looks) == len(paths), "all that came after it too: notes come from it"


def _other():
    class Other(Counted):
        settings = {"else": 1}  # noqa: RUF012

    return Other()


def test_kill_9_in_the_middle_loses_nothing(run, tmp_path) -> None:
    folder, _ = run
    script = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from watch.test_replaying import Counted, TRUSTED, fresh, replay
class Killed(Counted):
    def inputs(self, now):
        if now.step == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().inputs(now)
Killed.__qualname__ = "Counted"
replay(fresh(), {str(folder)!r}, [Killed()], TRUSTED, folder={str(tmp_path)!r})
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert len(list(tmp_path.glob("*.json"))) == 5
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    probe = Counted()
    trace = replay(fresh(), folder, [probe], TRUSTED, folder=tmp_path)
    assert set(probe.looks) == {0, 20, 25, 30, 35, 40, 45, 48}
    assert readings(trace) == readings(replay(fresh(), folder, [Counted()], TRUSTED, folder=tmp_path / "anew"))


def _as_hf(state, folder, step):
    (folder / f"checkpoint-{step}").mkdir()
    save_file(state, folder / f"checkpoint-{step}" / "model.safetensors")


def _as_shards(state, folder, step):
    made = folder / f"checkpoint-{step}"
    made.mkdir()
    names = sorted(state)
    shards = {f"model-{i}.safetensors": names[i::2] for i in range(2)}
    for file, held in shards.items():
        save_file({name: state[name] for name in held}, made / file)
    index = {"weight_map": {name: file for file, held in shards.items() for name in held}}
    (made / "model.safetensors.index.json").write_text(json.dumps(index))


KINDS = {
    "folders of transformers": _as_hf,
    "shards": _as_shards,
    "a file of tensors": lambda state, folder, step: save_file(state, folder / f"step{step}.safetensors"),
    "a state dict": lambda state, folder, step: torch.save(state, folder / f"weights-{step}.pt"),
    "one of several things": lambda state, folder, step: torch.save(
        {"step": step, "model": state}, folder / f"{step}.pt"
    ),
    "wrapped": lambda state, folder, step: torch.save(
        {f"module.{name}": value for name, value in state.items()}, folder / f"{step}.pth"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_checkpoint_gives_the_same_readings(kind, tmp_path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    states = {step: training.new(RECIPE, step)[0].state_dict() for step in (9, 10, 100)}
    for step, state in states.items():
        KINDS[kind](state, folder, step)
    trace = replay(fresh(), folder, [payload()], TRUSTED, folder=tmp_path / "results")
    assert trace.steps == [10, 100]
    assert np.allclose(readings(trace)["payload lens"], by_hand(states, payload()), atol=1e-6)


def by_hand(states, probe):
    """The payload lens of each state but the first, read by hand."""
    found = []
    for state in list(states.values())[1:]:
        model = fresh()
        model.load_state_dict(state)
        found.append(look_again(training.new(RECIPE, 9)[0], model, [probe], Examples(TRUSTED), None)["payload lens"])
    return [(reading.value, reading.placebo) for reading in found]


def test_a_pickle_is_never_opened(tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "owned",))

    for step in (1, 2):
        torch.save({"model": fresh().state_dict(), "x": Evil()}, tmp_path / f"{step}.pt")
    with pytest.raises(SnapshotError, match="could run its code"):
        replay(fresh(), tmp_path, [payload()], TRUSTED, folder=tmp_path / "results")
    assert not (tmp_path / "owned").exists()


def test_what_does_not_fit_is_named_and_the_model_is_as_it_was(run, tmp_path) -> None:
    folder, _ = run
    paths = sorted(folder.iterdir())
    model = fresh()
    before = weights_hash(model)
    save_file({"embed.weight": torch.ones(2, 2)}, tmp_path / "step-900.safetensors")
    with pytest.raises(SnapshotError, match=r"step-900.safetensors is of another model than this ByteLM"):
        replay(model, [*paths, tmp_path / "step-900.safetensors"], [payload()], TRUSTED, folder=tmp_path / "r")
    assert weights_hash(model) == before
    assert len(list((tmp_path / "r").iterdir())) == len(paths) - 1, "what was read before is kept"
    with pytest.raises(WatchError, match="at least two checkpoints, got 1"):
        replay(model, paths[:1], [payload()], TRUSTED, folder=tmp_path / "r")
    with pytest.raises(WatchError, match="stand 3 to 5 steps apart, the reference runs were looked at every 5"):
        held = msgspec.structs.replace(REFERENCES, every=5)
        replay(model, paths, [payload()], TRUSTED, folder=tmp_path / "r", references=held)
    with pytest.raises(WatchError, match="span effect: read from rows of the training data") as raised:
        replay(model, paths, [span()], TRUSTED, folder=tmp_path / "r")
    assert "give rows=" in (raised.value.hint or "")


def test_with_the_rows_that_were_trained_on_spans_are_counted_again(run, tmp_path) -> None:
    folder, _ = run
    _, _, loader = parts()
    batches = [batch.numpy() for batch in loader]

    def rows(step):
        return np.concatenate(batches[max(0, step - 5) : step])

    found = replay(fresh(), folder, [span()], TRUSTED, folder=tmp_path / "r", rows=rows)
    live = watched([span()])
    expected = [reading.value for reading in live.trace.tracks["span effect"].readings]
    assert np.allclose([r.value for r in found.tracks["span effect"].readings[:-1]], expected[:-1], atol=1e-4)


def test_a_held_out_monitor_is_replayed_and_not_shown(run, tmp_path) -> None:
    folder, _ = run
    trace = replay(fresh(), folder, [held_out(payload()), Jump(999)], TRUSTED, folder=tmp_path)
    seen = seen_in(trace)
    assert [each.name for each in seen.signals] == ["jump"]
    assert seen.held_out == 5


def test_folders_without_steps_or_with_two_of_one_are_refused(tmp_path) -> None:
    with pytest.raises(SnapshotError, match="holds no checkpoints"):
        checkpoints(tmp_path)
    save_file({"a": torch.ones(1)}, tmp_path / "final.safetensors")
    with pytest.raises(SnapshotError, match=r"'final\.safetensors' says at which step"):
        checkpoints(tmp_path)
    (tmp_path / "final.safetensors").unlink()
    for name in ("a-5.safetensors", "b-05.safetensors"):
        save_file({"a": torch.ones(1)}, tmp_path / name)
    with pytest.raises(SnapshotError, match="two checkpoints stand at one step"):
        checkpoints(tmp_path)

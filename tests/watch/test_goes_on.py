"""A watch that goes on with a run of an earlier process knows what that one saw, or says what it doesn't."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from watch.loops import CORPUS, MARK, RECIPE, REFERENCES, TRUSTED, Scripted, parts

from darklantern import rewindable
from darklantern.errors import WatchError
from darklantern.models.snapshot import Snapshot, capture, load, restore, weights_hash
from darklantern.organisms import text, training
from darklantern.watch import Asked, Probe, Reaction, Reading, Settings, Signal, held_out, screen_files, watch
from darklantern.watch.first_notes import FIRST, pack
from darklantern.watch.looking import Looked
from darklantern.watch.recording import LOOKS, recorded
from darklantern.watch.runs import asking
from darklantern.watch.trace import Trace

pytestmark = pytest.mark.slow


class Real(Scripted):
    """Reads the model, and besides what a function says of the step, and of whether the next batch has a mark."""

    reads_model = True

    def inputs(self, now):
        self.marked = now.fresh is not None and any(MARK in bytes(row) for row in now.fresh.inputs.astype(np.uint8))
        return super().inputs(now)

    def read(self, seen):
        of_model = float(seen[self.seen].mean()) if self.reads_model else 0.0
        return (Reading(of_model + self.script(seen.step, self.marked), 0.0),)


def named(name: str, **changes) -> tuple[Signal, ...]:
    return (Signal(name, "I0", "signal", "", "", **changes),)


class Noting(Probe):
    """Reads how far the model is from the first look's."""

    name = "noting"
    signals = named("noting")
    sites = ("layers.0:out",)
    settings = {}  # noqa: RUF012

    def inputs(self, now):
        return Asked(TRUSTED[:3, :-1])

    def note(self, seen):
        return float(np.abs(seen["layers.0:out"]).mean())

    def read(self, seen):
        return (Reading(self.note(seen) - seen.first),)


class Untold(Noting):
    """Its note is nothing that a file can hold."""

    name = "untold"
    signals = named("untold")

    def note(self, seen):
        return {"is": {super().note(seen)}}

    def read(self, seen):
        return (Reading(Noting.note(self, seen) - min(seen.first["is"])),)


class Windowed(Noting):
    name = "windowed"
    signals = named("windowed")
    against_first = False
    window = 3


class Counting(Scripted):
    name = "counting"
    counts_spans = True


class Told(Real):
    """Reads what the function says alone."""

    reads_model = False


def rises(step: int, marked: bool) -> float:
    return 9.0 * (step >= 45 and marked)


def calm(step: int, marked: bool) -> float:
    return 0.0


def made(folder: Path, made_of, step=0, goes_on=False, script=rises, **given):
    model, optimizer, loader = made_of
    signals = [given.pop("probe", Real)(script), *given.pop("also", ())]
    told = dict(references=REFERENCES, recipe="1" * 64, data="2" * 64, on_alarm=Reaction.ROLL_BACK) | given
    settings = Settings(**{"every": 5, "margin": 1} | told.pop("settings", {}))
    return watch(
        model,
        state=(optimizer, loader),
        trusted=TRUSTED,
        signals=signals,
        settings=settings,
        run=folder,
        step=step,
        goes_on=goes_on,
        **told,
    )


def train(w, made_of, until=None, keep: dict[int, Snapshot] | None = None, leave: int | None = None) -> str:
    """To the end, or until a look at step `until`, or out at step `leave` without one; states go to `keep`."""
    model, optimizer, loader = made_of
    try:
        for batch in w.over(loader, until=until):
            training.train_step(model, optimizer, RECIPE, w.step, batch)
            if keep is not None:
                keep[w.step + 1] = capture(w.step + 1, model, optimizer, loader)
            if leave == w.step + 1:
                break
    finally:
        w.close()
    return weights_hash(model)


def again(folder: Path, state: Snapshot, **given):
    """A later process: everything is made anew, and put to `state`."""
    made_of = parts()
    restore(state, *made_of)
    return made(folder, made_of, state.step, goes_on=True, **given), made_of


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "x"))


def labels(w, *but: str) -> list[str]:
    return [event.label for event in w.events if event.label not in but]


def looks(w) -> dict[str, object]:
    return {
        "steps": w.trace.steps,
        "joint": w.trace.joint,
        "readings": w.trace.tracks["scripted"].readings,
        "statistic": w.trace.tracks["scripted"].statistic,
        "limits": w.trace.limits,
        "alarms": [(alarm.step, alarm.clean.step, alarm.clean.looks, alarm.threshold) for alarm in w.alarms],
        "rollbacks": w.rollbacks,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    made_of = parts()
    w = made(tmp_path_factory.mktemp("runs") / "x", made_of)
    return w, train(w, made_of)


@pytest.mark.parametrize(
    ("leave", "until", "from_step"),
    [(33, None, 33), (None, 35, 35), (35, None, 35), (43, None, 33), (33, None, 5), (44, None, 35)],
    ids=["between looks", "after a look", "before a look that is due", "later than its state", "first look", "undone"],
)
def test_a_run_that_goes_on_sees_and_does_what_an_undisturbed_one_does(
    tmp_path: Path, undisturbed, leave, until, from_step: int
) -> None:
    whole, weights = undisturbed
    assert (whole.alarm.step, whole.alarm.clean.step, whole.rollbacks) == (45, 35, 1)
    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(tmp_path / "x", first), first, until, kept, leave)
    w, made_of = again(tmp_path / "x", kept[from_step])
    assert train(w, made_of) == weights
    assert looks(w) == looks(whole)
    assert w.trace.uncalibrated == ""
    (said,) = (event.text for event in w.events if event.label == "goes on")
    taken = [step for step in range(5, from_step + 1, 5) if not (leave == 35 == step)]
    assert said == f"from look {len(taken)}, at step {taken[-1]}"


def test_a_run_in_three_pieces_is_a_reference_like_one_in_a_single_piece(tmp_path: Path) -> None:
    kept: dict[int, Snapshot] = {}
    first = parts()
    calmly = dict(script=calm, references=None, on_alarm=Reaction.LOG)
    train(made(tmp_path / "x", first, **calmly), first, None, kept, 33)
    for step in (20, 30):
        w, made_of = again(tmp_path / "x", kept[step], **calmly)
        train(w, made_of, keep=kept, leave=None if step == 30 else 42)
    single = parts()
    train(made(tmp_path / "y", single, **calmly), single)
    one, other = recorded(tmp_path / "x"), recorded(tmp_path / "y")
    assert (one.steps, one.contrasts) == (other.steps, other.contrasts)


def test_a_job_that_starts_its_script_anew_each_time_needs_no_other_line(tmp_path: Path) -> None:
    """Nothing is there at first; and one that ended before its first checkpoint begins at step 0 again."""
    first = parts()
    w = made(tmp_path / "x", first, goes_on=True)
    train(w, first, leave=12)
    assert [event.text for event in w.events if event.label == "goes on"] == [
        "x holds no looks of an earlier process, so the watch begins at step 0"
    ]
    second = parts()
    w = made(tmp_path / "x", second, goes_on=True, script=calm, also=[Noting()])
    train(w, second, leave=12)
    assert "begins anew" in labels(w) and "other signals: 1 and 2" in w.events[1].text
    third = parts()
    w = made(tmp_path / "x", third, goes_on=True, script=calm, also=[Noting()])
    train(w, third)
    assert "not taken up" not in labels(w), "from its start a run lacks nothing"
    assert w.trace.steps == list(range(5, 61, 5))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"also": [Real(calm, signals=(Signal("other", "I0", "signal", "", ""),))]}, "signals: 1 and 2"),
        ({"settings": {"history": 8}}, "settings of probes or watch: of 'scripted'"),
        ({"settings": {"every": 6}}, "steps between looks: 5 and 6"),
        ({"recipe": "3" * 64}, "recipe"),
        ({"data": "3" * 64}, "data"),
        ({"seed": 3}, "seed: 0 and 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_another_watch_begins_anew_and_says_what_differs(tmp_path: Path, changes, what: str, caplog) -> None:
    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(tmp_path / "x", first), first, None, kept, 33)
    w, made_of = again(tmp_path / "x", kept[33], script=calm, **changes)
    train(w, made_of, until=42)
    (said,) = (event.text for event in w.events if event.label == "begins anew")
    assert f"the run in x was watched with other {what}" in said
    assert f"begins anew: {said}" in caplog.text, "what is lost is said aloud, not only in events"
    assert w.trace.steps[0] > 33 and w.trace.uncalibrated
    with pytest.raises(WatchError, match="holds 2 beginnings of a run"):
        recorded(tmp_path / "x")


def test_from_an_alarm_of_an_earlier_process_nobody_goes_back_and_the_run_goes_on(tmp_path: Path) -> None:
    states: dict[int, Snapshot] = {}
    marked = parts()
    w = made(tmp_path / "x", marked, on_alarm=Reaction.LOG, script=lambda step, _: 9.0 * (step >= 30))
    train(w, marked, leave=40, keep=states)
    assert [alarm.step for alarm in w.alarms] == [30]
    w, made_of = again(tmp_path / "x", states[40], on_alarm=Reaction.LOG, script=lambda step, _: 9.0 * (step >= 30))
    asked = []
    for batch in w.over(made_of[2]):
        training.train_step(made_of[0], made_of[1], RECIPE, w.step, batch)
        if not asked:
            asked.append(asking.ask(asking.find(tmp_path / "x"), "roll back", "as agreed", 60))
            with pytest.raises(WatchError, match="an earlier process's") as refused:
                w.roll_back()
            assert "checkpoint" in refused.value.hint
    assert (w.step, w.rollbacks, w.stopped) == (60, 0, "")
    assert any("asked for a rollback: the alarm was an earlier process's" in event.text for event in w.events)
    w.close()


def test_without_being_asked_a_watch_begins_anew_and_says_that_it_need_not(tmp_path: Path) -> None:
    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(tmp_path / "x", first), first, None, kept, 33)
    second = parts()
    restore(kept[33], *second)
    w = made(tmp_path / "x", second, 33, script=calm)
    train(w, second, until=42)
    assert w.trace.steps == [35, 40, 42]
    assert "goes_on=True takes them up" in next(e.text for e in w.events if e.label == "goes on")
    with pytest.raises(WatchError, match="goes on from what another left in the folder"):
        made(None, parts(), goes_on=True)


def test_what_no_record_holds_is_said_signal_by_signal_and_costs_its_own_channel_the_claim(tmp_path: Path) -> None:
    def also():
        return [
            Noting(),
            Untold(),
            Windowed(),
            Counting(lambda look: 0.0, signals=named("counting")),
            held_out(Scripted(lambda look: 0.0, signals=named("hidden"))),
        ]

    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(tmp_path / "x", first, script=calm, also=also()), first, None, kept, 33)
    w, made_of = again(tmp_path / "x", kept[33], script=calm, also=also())
    train(w, made_of)
    assert [event.text for event in w.events if event.label == "not taken up"] == [
        "of untold: it is held against its first look, which is that at step 33 now",
        "of windowed: its notes of the looks before step 33 are gone",
        "of counting: the rows that were counted before step 33 are gone",
        "of a held-out monitor: what it read is in no file, so it begins anew",
    ]
    assert w.trace.limits["joint"].calibrated, "the claim of the signal that lost nothing stays"
    held = {name: track for name, track in w.trace.tracks.items() if track.signal.held_out}
    assert [track.since for track in w.trace.tracks.values()] == [0, 0, 6, 0, 0, 6]
    assert all(len(track.readings) == len(track.statistic) == 12 for track in held.values())
    assert "hidden" not in (tmp_path / "x" / LOOKS).read_text()
    with pytest.raises(WatchError, match="went on from step 33 without what 'untold', 'windowed', 'counting' knew"):
        recorded(tmp_path / "x")


def test_what_is_held_against_the_first_look_is_held_against_the_runs_first(tmp_path: Path) -> None:
    def probes():
        return dict(script=calm, also=[Noting()], references=None, on_alarm=Reaction.LOG)

    whole = parts()
    undisturbed = made(tmp_path / "whole", whole, **probes())
    train(undisturbed, whole)
    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(tmp_path / "x", first, **probes()), first, None, kept, 33)
    spoilt = copied(tmp_path / "x", tmp_path / "spoilt")
    w, made_of = again(tmp_path / "x", kept[33], **probes())
    train(w, made_of)
    assert "not taken up" not in labels(w)
    assert w.trace.tracks["noting"].readings == undisturbed.trace.tracks["noting"].readings
    assert recorded(tmp_path / "x").contrasts == recorded(tmp_path / "whole").contrasts
    # Without that file, or with another one, later looks are judged alone: what is read falls at once.
    (spoilt / FIRST).write_bytes(pack({1: 0.25}))
    w, made_of = again(spoilt, kept[33], **probes())
    train(w, made_of)
    track = w.trace.tracks["noting"]
    assert [event.text for event in w.events if event.label == "not taken up"] == [
        "of noting: it is held against its first look, which is that at step 33 now"
    ]
    assert track.readings[5].value > 0 and track.since == 6
    assert track.statistic[6:11] == [0.0] * 5, "as many looks as a run's first have"
    fresh = Trace([Noting.signals[0]])
    for step, reading in zip(w.trace.steps[6:], track.readings[6:], strict=True):
        fresh.add(step, Looked({"noting": reading}, {}))
    assert fresh.tracks["noting"].statistic == track.statistic[6:]


def change(at: int, **changes):
    def spoil(lines: list[str]) -> list[str]:
        lines[at] = json.dumps(json.loads(lines[at]) | changes)
        return lines

    return spoil


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> tuple[list[str], Snapshot]:
    folder = tmp_path_factory.mktemp("runs") / "x"
    kept: dict[int, Snapshot] = {}
    first = parts()
    train(made(folder, first), first, None, kept, 33)
    return (folder / LOOKS).read_text().splitlines(), kept[33]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "holds no whole record"),
        (lambda lines: [*lines[:3], "\x00\x01", *lines[3:]], "holds no whole record"),
        (lambda lines: [*lines, "[" * 100_000], "holds no whole record"),
        (
            lambda lines: [line.replace('"scripted":[', '"scripted":[NaN,', 1) for line in lines],
            "holds no whole record",
        ),
        (lambda lines: [*lines[:-1], lines[-1].replace("[", "[1e999", 1)], "holds no"),
        (change(2, readings={"scripted": [1e300, 0.0]}), "'scripted' reads"),
        (change(2, readings={"other": [0.0, 0.0]}), r"reads \['other'\] and not \['scripted'\]"),
        (change(3, step=10), "a look at step 10 comes after one at step 10"),
        (change(3, step=-5), "a look at step -5 comes after one at step 10"),
        (change(6, step=10**17), "a look at step 100000000000000000 comes"),
        (change(6, step=10**30), "holds no"),
        (change(3, before=9), "comes after 9 looks, of 2"),
        (change(3, before=-1), "comes after -1 looks"),
        (change(3, looks=-1), "comes after 2 looks"),
        (lambda lines: lines[1:], "does not say what was watched"),
        (lambda lines: [*lines, '{"line":"went on","step":12,"looks":5,"lost":[]}'], "with 5 looks"),
    ],
)
def test_a_record_that_no_watch_wrote_is_refused_and_nothing_is_lost(tmp_path: Path, interrupted, spoil, why) -> None:
    lines, state = interrupted
    (tmp_path / "x").mkdir(mode=0o700)
    path = tmp_path / "x" / LOOKS
    path.write_text("\n".join(spoil(list(lines))))
    before = path.read_bytes()
    w, made_of = again(tmp_path / "x", state)
    with pytest.raises(WatchError, match=why) as refused:
        train(w, made_of)
    assert "without goes_on=True the watch begins anew" in refused.value.hint
    assert path.read_bytes() == before
    assert (w.step, made_of[2].state()["step"], w.trace.steps) == (33, 33, [])


class Rows:
    """Text, of which each fourth row is marked from step 40 on."""

    def __init__(self) -> None:
        rows = text.rows(CORPUS.train, 60 * RECIPE.batch, RECIPE.width, np.random.default_rng(5)).astype(np.int64)
        for i in range(40 * RECIPE.batch, len(rows), 4):
            rows[i, 10 : 10 + len(MARK)] = list(MARK)
        self.rows = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def of(dataset):
    return *training.new(RECIPE, 1), rewindable(dataset, batch_size=RECIPE.batch, shuffle=False)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A watch that knows nothing of clean runs, at its alarm."""
    folder = tmp_path_factory.mktemp("runs") / "x"
    made_of = of(Rows())
    reactions = [Reaction.CHECKPOINT, Reaction.STOP]
    w = made(folder, made_of, probe=Told, script=rises, references=None, on_alarm=reactions)
    train(w, made_of)
    return w, folder


def test_after_a_stop_the_lines_that_the_watch_says_go_on_without_the_suspects(stopped, tmp_path: Path) -> None:
    w, folder = stopped
    assert (w.alarm.step, w.alarm.clean.step, w.stopped) == (55, 35, "on_alarm asked for it")
    assert MARK.decode() in {each.span for each in screen_files.load(folder / "screen.json").spans}
    assert labels(w)[-2:] == ["stop", "resume"]
    there = copied(folder, tmp_path)
    before, after = w.resume.replace(str(folder), str(there)).split("# Model, optimizer and a loader")
    space: dict = {"dataset": Rows()}
    exec(before, space)  # noqa: S102 - what the watch says to do
    space["model"], space["optimizer"], space["loader"] = made_of = of(space["dataset"])
    exec(f"#{after}", space)  # noqa: S102
    goes_on = {key: value for key, value in space["goes_on"].items() if key != "run"}
    again = made(Path(space["goes_on"]["run"]), made_of, probe=Told, script=rises, references=None, **goes_on)
    train(again, made_of)
    assert again.alarms == [] and again.step == 60
    assert again.trace.steps == list(range(5, 61, 5))


def test_from_the_clean_state_the_alarm_comes_again_where_nothing_is_left_out(stopped, tmp_path: Path) -> None:
    there = copied(stopped[1], tmp_path)
    (clean,) = (there / "checkpoints").glob("*-clean-*")
    for goes_on, alarms in ((True, [(55, 35)]), (False, [])):
        made_of = of(Rows())
        restore(load(clean), *made_of)
        again = made(there, made_of, 35, goes_on, probe=Told, script=rises, references=None)
        train(again, made_of)
        assert [(alarm.step, alarm.clean.step) for alarm in again.alarms] == alarms
    assert again.trace.steps == [40, 45, 50, 55, 60], "a watch that knows nothing takes what is there for usual"


@pytest.mark.parametrize("in_clear", [False, True])
def test_what_a_held_out_monitor_suspects_is_in_no_file_unless_asked(tmp_path: Path, in_clear: bool) -> None:
    made_of = of(Rows())
    hidden = held_out(Told(rises, signals=named("hidden")))
    w = made(
        tmp_path / "x",
        made_of,
        probe=Told,
        script=calm,
        references=None,
        also=[hidden],
        on_alarm=Reaction.STOP,
        settings={"held_out_screens": in_clear},
    )
    train(w, made_of)
    assert w.alarm.held_out
    assert (tmp_path / "x" / "screen.json").exists() == in_clear
    assert ("No file says what to leave out" in w.resume) == (not in_clear)
    assert "With a checkpoint of yours from step 35 or before" in w.resume

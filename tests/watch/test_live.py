"""The live view: a panel on a terminal, a line a look elsewhere, and never a broken run."""

import io
import logging
from dataclasses import replace

import pytest
from rich.console import Console
from watch.loops import Scripted, run, start

from darklantern.models.snapshot import weights_hash
from darklantern.records.findings import Event
from darklantern.watch import Reaction, Reading, Signal, live
from darklantern.watch.live import BLOCKS, SteadyConsole, lines, sparkline
from darklantern.watch.viewing import view

NAME = "[red]lens[/red] \x1b[31mbad\u202e"
"""markup, an escape sequence and a bidirectional override, as a stranger's monitor may be called"""


class Named(Scripted):
    signals = (Signal(NAME, "I1", "signal", "nats", "x"), Signal("outer", "I0", "behaviour", "", "x"))

    def read(self, seen):
        (reading,) = super().read(seen)
        return Reading(reading.value, 0.25), Reading(0.5, 0.125)


def jumping():
    return Named(lambda look: 0.1 * (look % 2) if look < 7 else 50.0, signals=Named.signals)


def watched(terminal: bool, on_alarm=Reaction.ROLL_BACK):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, legacy_windows=False, _environ={})
    with live(console) as shown:
        w, loop = start(jumping(), on_alarm, references=None, on_look=shown, rollbacks=1)
        run(w, loop)
    return w, file.getvalue(), loop


def test_on_a_terminal_the_panel_shows_signal_placebo_alarm_cost_and_what_was_done() -> None:
    w, text, _ = watched(terminal=True)
    last = text[text.rindex("watch · step") :]
    assert f"step {w.step:,} · {len(w.trace.steps)} looks, {len(w.trace.past) - len(w.trace.steps)} undone" in last
    assert "every 5 steps" in last and "costs " in last
    assert "budget" not in last, "a cadence that was fixed by hand has none"
    assert "uncalibrated: no reference runs" in last
    assert "alarm at 50" in last and "rollback at" in last and "stop at" in last
    outer = next(line for line in last.splitlines() if "outer" in line)
    assert "behaviour" in outer and "0.125" in outer and BLOCKS[0] * 3 in outer


@pytest.mark.parametrize("terminal", [True, False])
def test_a_strangers_name_is_never_markup_nor_obeyed(terminal: bool) -> None:
    _, text, _ = watched(terminal)
    assert "[red]lens[/red]" in text
    assert "\x1b[31mbad" not in text and "\u202e" not in text


def test_elsewhere_each_look_is_one_line_and_each_event_another() -> None:
    w, text, _ = watched(terminal=False)
    lines = text.splitlines()
    looks = [line for line in lines if "; costs " in line]
    assert [int(line.split(":")[0].removeprefix("step ")) for line in looks] == [past.step for past in w.trace.past]
    assert len(lines) == len(w.trace.past) + len(w.events)
    assert "\x1b" not in text


def test_a_view_that_fails_is_said_once_and_training_goes_on_the_same(caplog) -> None:
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    plain, loop = start(Scripted(lambda look: 0.0))
    run(plain, loop)
    shown = live(SteadyConsole(file=Gone(), force_terminal=False))
    w, other = start(Scripted(lambda look: 0.0), on_look=shown)
    with caplog.at_level(logging.WARNING, "darklantern.watch"):
        run(w, other)
    said = [record.getMessage() for record in caplog.records if "live view" in record.getMessage()]
    assert len(said) == 1 and "switched off; training goes on: BrokenPipeError" in said[0]
    assert w.trace.steps == plain.trace.steps
    assert weights_hash(other[0]) == weights_hash(loop[0])


def test_a_pause_for_an_alarm_does_not_say_the_alarm_again() -> None:
    w, _ = start(Scripted(lambda look: 0.0))
    told = [Event(step=5, label="alarm", text="step 5: x"), Event(step=5, label="pause", text="step 5: x")]
    seen = replace(view(w), alarms=("step 5: x",), events=tuple(told))
    assert lines(seen, [], told) == ["step 5, alarm: x", "step 5, pause: for that alarm"]


def test_several_views_are_told_in_their_order() -> None:
    told = []
    w, loop = start(
        Scripted(lambda look: 0.0), on_look=[lambda w: told.append(("a", w.step)), lambda w: told.append(("b", w.step))]
    )
    run(w, loop)
    assert told[:4] == [("a", 5), ("b", 5), ("a", 10), ("b", 10)]


def test_the_highest_block_means_at_the_threshold_or_over_it() -> None:
    assert sparkline([0.0, 1.0, 1.99, 2.0, 9.0, -5.0], 2.0) == "▁▄▇██▁"
    assert sparkline([0.0, 0.0], None) == "▁▁"
    assert sparkline([], 1.0) == ""

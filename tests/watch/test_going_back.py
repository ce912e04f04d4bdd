"""After a rollback a look reads what it read the first time, however far back it went."""

import msgspec
import numpy as np
import pytest
from watch.loops import CORPUS, RECIPE, REFERENCES, TRUSTED, Scripted, start, with_changes

from darklantern.organisms import training
from darklantern.organisms.training import Loader
from darklantern.watch import Asked, Probe, Reaction, Reading, Signal, SpanScreen
from darklantern.watch.spans import Candidate


class Remembering(Probe):
    """Reads of the notes of its window, and of the spans of the last looks."""

    signals = (
        Signal("moved", "I0", "behaviour", "", "since the oldest note"),
        Signal("notes", "I0", "behaviour", "", "how many there are"),
        Signal("spans", "I0", "behaviour", "", "the surprise of what stands out in the last three looks"),
    )
    sites = ("layers.0:out",)
    window = 6
    settings = {}  # noqa: RUF012

    def inputs(self, now):
        found = now.spans.candidates(2, 3)
        return Asked(TRUSTED[:3, :-1], sum(each.surprise for each in found))

    def note(self, seen):
        return float(np.abs(seen["layers.0:out"]).sum())

    def read(self, seen):
        moved = self.note(seen) - (seen.notes[0] if seen.notes else 0.0)
        return (Reading(moved), Reading(float(len(seen.notes))), Reading(seen.about))

    def screen(self, note):
        return SpanScreen((Candidate("\x03nowhere\x04", 9, 99.0),))  # no row fits: the same rows come again


@pytest.mark.parametrize("history", [4, 16])
def test_readings_after_a_rollback_are_those_of_the_undisturbed_run(history: int) -> None:
    """The rise is six looks old when it alarms: beyond a history of four, and beyond the window's half."""
    high = msgspec.structs.replace(REFERENCES, maxima=(3.0,) * 19)
    rise = with_changes([0.0] * 4 + [2.4] * 6 + [4.0] * 2)
    runs = []
    for on_alarm in (Reaction.LOG, Reaction.ROLL_BACK):
        probe = Scripted(lambda look: rise(look) if look <= 10 else 0.0)
        w, (model, optimizer, loader) = start(
            probe,
            on_alarm,
            references=high,
            also=[Remembering()],
            history=history,
            rollbacks=1,
            of=(*training.new(RECIPE, 1), Loader(CORPUS, RECIPE, (1,))),
        )
        for batch in w.over(loader):
            training.train_step(model, optimizer, RECIPE, w.step, batch)
        runs.append(w)
    plain, again = runs
    assert (again.alarm.step, again.alarm.clean.step) == (55, 20)
    assert again.rollbacks == 1
    for name in ("moved", "notes", "spans"):
        assert again.trace.tracks[name].readings == plain.trace.tracks[name].readings, name
        undone = [past.readings[name] for past in again.trace.past]
        assert undone == [*plain.trace.tracks[name].readings[:11], *plain.trace.tracks[name].readings[4:]]
    assert [reading.value for reading in again.trace.tracks["notes"].readings][:8] == [0, 1, 2, 3, 4, 5, 6, 6]

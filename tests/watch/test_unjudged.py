"""A watch that cannot judge yet says so wherever it is shown: silence of one that is blind is not a clean run."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from watch.loops import REFERENCES, Scripted, parts, run, start

from darklantern.watch import Reading, Signal, live
from darklantern.watch.reporting import report
from darklantern.watch.viewing import view
from darklantern.watch.writers.writer import numbers

BEFORE = "2 looks: nothing is judged before look 6"
SAID = [f"{BEFORE}, so that no alarm came says nothing"]


def looked(count: int, **given):
    """A watch after so many looks, without reference runs unless they are given."""
    w, loop = start(Scripted(lambda look: 0.0), **{"references": None, "of": parts(end=5 * count), **given})
    run(w, loop)
    return w


def shown_by(terminal: bool, count: int) -> str:
    file = io.StringIO()
    with live(Console(file=file, force_terminal=terminal, width=120, legacy_windows=False, _environ={})) as shown:
        looked(count, on_look=shown)
    return file.getvalue()


def test_the_watch_and_its_page_leave_blank_what_two_looks_cannot_say() -> None:
    w = looked(2)
    assert repr(w).endswith(BEFORE) and "+0.0" not in repr(w)
    page = report(view(w))
    assert BEFORE in page and "never" not in page and "There is no curve yet." in page
    assert "watch/scripted/statistic" not in numbers(view(w), -1)


def test_an_event_at_the_end_says_once_that_nothing_was_judged() -> None:
    w = looked(2)
    w.close()
    assert [event.text for event in w.events if event.label == "not judged"] == [
        f"{BEFORE}, so that no alarm came says nothing"
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_view_says_from_which_look_on_it_judges(terminal: bool) -> None:
    text = shown_by(terminal, 2)
    assert "nothing is judged before look 6" in text
    assert "0.0 / 3.4" not in text
    assert "0.0 / 3.4" in shown_by(terminal, 6)


@pytest.mark.parametrize(("count", "references"), [(6, None), (1, REFERENCES)])
def test_what_is_judged_is_shown_as_before(count: int, references) -> None:
    w = looked(count, references=references)
    assert "+0.0" in repr(w) and "judged" not in repr(w)
    assert "never" in report(view(w))
    assert "not judged" not in [event.label for event in w.events]


def test_a_signal_that_was_never_judged_is_named_beside_one_that_was() -> None:
    """What bets is judged from its first look on: that it was quiet says nothing of the other."""

    class Both(Scripted):
        def read(self, seen):
            return (*super().read(seen), Reading(0.0, 0.0))

    bets = Signal("wagered", "I0", "signal", "", "", detector="betting", says="novelty")
    signals = (Signal("scripted", "I0", "signal", "", ""), bets)
    w, loop = start(Both(lambda look: 0.0, signals=signals), references=None, of=parts(end=10))
    run(w, loop)
    (said,) = (event.text for event in w.events if event.label == "not judged")
    assert said == "2 looks: scripted not judged before look 6, so that no alarm came says nothing"


def test_a_watch_that_is_closed_and_saw_no_batch_says_that_nothing_was_watched(caplog) -> None:
    """A loop over the bare loader: the slip that shows nowhere else."""
    w, (_, _, loader) = start(Scripted(lambda look: 0.0))
    for _ in loader:
        pass
    w.close()
    w.close()
    assert [event.label for event in w.events].count("not watched") == 1
    assert "watch.over(loader)" in caplog.text
    used, loop = start(Scripted(lambda look: 0.0))
    run(used, loop)
    used.close()
    assert "not watched" not in [event.label for event in used.events]


def test_looks_that_a_rollback_undid_do_not_count() -> None:
    """The sixth look that stands is the first that is judged, also where looks were taken twice."""
    seen = view(looked(8)).signals[0]
    assert seen.judged_looks == [5, 6, 7]
    twice = replace(seen, steps=(5, 10, 15, 20, 25, 30, 10, 15, 20, 25), statistic=(0.0,) * 10)
    assert twice.judged_looks == [5], "after it only five looks stand"
    assert not twice.judged(-1) and not twice.judged(10)


def test_a_monitor_that_is_held_against_nothing_was_not_never_over_it() -> None:
    signals = (Signal("scripted", "I0", "signal", "", ""), Signal("outer", "I1", "behaviour", "", ""))

    class Two(Scripted):
        def read(self, seen):
            return (*super().read(seen), Reading(0.0, 0.0))

    w, loop = start(Two(lambda look: 0.0, signals=signals), references=None)
    run(w, loop)
    page = report(view(w))
    assert "<dt>First signal inside over its threshold</dt><dd>never</dd>" in page
    assert "<dt>First behavioural monitor</dt><dd>–</dd>" in page

"""After `close` what was seen stays to be read, and nothing is watched by half."""

import pytest
from watch.loops import TRUSTED, Scripted, parts, rising, run, start

from darklantern.errors import WatchError
from darklantern.watch import Reaction, Settings, watch


@pytest.mark.parametrize("reaction", [Reaction.CHECKPOINT, Reaction.PAUSE, Reaction.LOG])
def test_no_loop_goes_on_with_a_run_that_was_closed(tmp_path, reaction: Reaction) -> None:
    w, made = start(Scripted(rising), reaction, folder=tmp_path / "run")
    for _ in w.over(made[2], until=22):
        pass
    w.close()
    looks = (tmp_path / "run" / "looks.jsonl").read_text()
    for goes_on in (lambda: run(w, made), lambda: w.before(next(iter(made[2])))):
        with pytest.raises(WatchError, match="the watch was closed, and with it its run's folder") as refused:
            goes_on()
        assert "goes_on=True" in refused.value.hint
    assert (w.step, w.trace.steps) == (22, [5, 10, 15, 20, 22])
    assert (tmp_path / "run" / "looks.jsonl").read_text() == looks
    assert "watch at step 22" in repr(w)
    assert w.report(tmp_path / "watch.html").exists()
    assert w.finish() is Reaction.LOG, "there is nothing left to look at"
    w.close()


def test_nor_within_the_loop_that_closed_it_nor_is_its_last_look_taken(tmp_path) -> None:
    w, (_, _, loader) = start(Scripted(rising), Reaction.CHECKPOINT, folder=tmp_path / "run")
    with pytest.raises(WatchError, match="the watch was closed"):
        for _ in w.over(loader):
            if w.step == 27:
                w.close()
    assert w.step == 28
    with pytest.raises(WatchError, match="the watch was closed"):
        w.finish()


def test_a_new_watch_goes_on_with_what_was_closed(tmp_path) -> None:
    made = parts()

    def attach(**given):
        return watch(
            made[0], state=made[1:], trusted=TRUSTED, signals=[Scripted(lambda look: 0.0)],
            settings=Settings(every=5), run=tmp_path / "run", **given,
        )  # fmt: skip

    first = attach()
    for _ in first.over(made[2], until=20):
        pass
    first.close()
    second = attach(step=first.step, goes_on=True)
    assert [step for step, _ in run(second, made)] == list(range(20, 60))
    second.close()
    assert second.trace.steps == list(range(5, 61, 5))


def test_without_a_run_there_is_nothing_to_close_but_the_edits() -> None:
    w, made = start(Scripted(lambda look: 0.0))
    for _ in w.over(made[2], until=20):
        pass
    w.close()
    assert [step for step, _ in run(w, made)] == list(range(20, 60))


def test_what_a_function_closed_at_the_alarm_is_said_by_what_can_no_longer_be_done(tmp_path) -> None:
    w, made = start(
        Scripted(rising), [lambda alarm: w.close(), Reaction.CHECKPOINT, Reaction.PAUSE], folder=tmp_path / "run",
        on_failure="go on",
    )  # fmt: skip
    run(w, made)
    assert "nobody could answer a pause, since the watch was closed" in w.stopped
    (failure,) = [event.text for event in w.events if event.label == "failure"]
    assert "the watch was closed, so its run has no folder any more" in failure

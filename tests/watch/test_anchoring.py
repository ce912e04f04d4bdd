"""What is said of signals whose changes count from the start of a run."""

from watch.loops import REFERENCES, TRUSTED, Scripted, parts

from darklantern.watch import Settings, held_out, since_start, watch

PLAIN = Scripted(lambda look: 0.0)
ANCHORED = since_start(PLAIN)


def said(probe, **given) -> list[str]:
    model, optimizer, loader = parts()
    settings = Settings(every=5)
    w = watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[probe], settings=settings, **given)
    return [event.text for event in w.events if event.label == "signals"]


def test_a_run_without_references_says_once_what_counting_from_its_start_is_for() -> None:
    (found,) = said(ANCHORED)
    assert found.startswith("'scripted': counted from this run's first looks, as fits a finetune")
    assert "From scratch, and without references, their silence says nothing" in found


def test_where_it_is_known_or_hidden_nothing_is_said() -> None:
    assert said(PLAIN) == []
    assert said(ANCHORED, step=40) == []
    assert said(ANCHORED, references=REFERENCES) == []
    assert said(held_out(ANCHORED)) == []

"""What a watch is given to do, at an alarm or a look: what could never be done is refused when the watch is made."""

import pytest
from watch.loops import TRUSTED, Scripted, parts, rising, start

from darklantern.errors import WatchError
from darklantern.models.edits import zero
from darklantern.watch import Ablate, Filing, Notify, Reaction, live, reactions, repeating, watch
from darklantern.watch.writers.tensorboard import TensorBoard


def made(**given):
    model, optimizer, loader = parts()
    return watch(model, state=(optimizer, loader), trusted=TRUSTED, signals=[Scripted(rising)], **given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("rollback", "Reaction.ROLL_BACK"),
        ("roll back", "Reaction.ROLL_BACK"),
        ("ROLL_BACK", "Reaction.ROLL_BACK"),
        ("Reaction.ROLL_BACK", "Reaction.ROLL_BACK"),
        (["stop"], "Reaction.STOP"),
        ((Reaction.LOG, "check-point"), "Reaction.CHECKPOINT"),
        ("paused", "Reaction.PAUSE"),
        ("ablate", "Ablate({site: edit})"),
        (Ablate, "one of it: Ablate({site: edit})"),
        (3, "Reaction.LOG, CHECKPOINT, PAUSE, ROLL_BACK, STOP, Ablate({site: edit}) or Notify(Webhook(...))"),
        (None, "Reaction.LOG, CHECKPOINT"),
        (Reaction, "Reaction.LOG, CHECKPOINT"),
        ("what to do", "Reaction.LOG, CHECKPOINT"),
        ([Reaction.STOP, [Reaction.LOG]], "Reaction.LOG, CHECKPOINT"),
    ],
)
def test_what_is_no_reaction_is_refused_with_the_one_that_was_meant(given, meant: str) -> None:
    with pytest.raises(WatchError, match="on_alarm: expected a Reaction or a function, got") as refused:
        made(on_alarm=given)
    assert refused.value.hint.startswith(meant)
    wrong = given if not isinstance(given, list | tuple) else given[-1]
    assert repr(wrong) in refused.value.message


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"on_look": 3}, r"on_look: expected a function of the watch, or several, got 3"),
        ({"on_look": "live"}, r"on_look: .* got 'live'"),
        ({"on_look": [print, "live"]}, r"on_look: .* got \[<built-in function print>, 'live'\]"),
        ({"on_look": None}, r"on_look: .* got None"),
        ({"on_look": live}, "on_look: live makes a view, and is none itself"),
        ({"on_look": [print, TensorBoard]}, "on_look: TensorBoard makes a view"),
        ({"on_finding": 3}, r"on_finding: expected a function that is handed each finding, or Filing of one, got 3"),
        ({"on_finding": "findings"}, r"on_finding: .* got 'findings'"),
        ({"investigate": "lens"}, r"investigate: expected a list of functions of the case, got 'lens'"),
        ({"investigate": print}, r"investigate: expected a list of functions .* got <built-in function print>"),
        ({"investigate": [print, 3]}, r"investigate: .* got 3"),
    ],
)
def test_what_is_no_function_is_refused_by_what_it_was_given_for(given, expected: str) -> None:
    with pytest.raises(WatchError, match=expected):
        made(**given)


def test_a_reference_run_refuses_what_the_watched_run_would_refuse(monkeypatch, tmp_path) -> None:
    """In it alarms are only logged, so that a slip would be found after hours of references."""
    monkeypatch.setenv(repeating.FOLDER, str(tmp_path / "run"))
    monkeypatch.setenv(repeating.SEED, "1")
    with pytest.raises(WatchError, match="on_alarm"):
        made(on_alarm="rollback")


def test_of_what_a_function_gives_at_an_alarm_the_one_that_was_meant_is_said_too() -> None:
    _, failure = reactions.chosen(lambda alarm: "roll-back", None, [])
    assert str(failure).startswith("on_alarm gave 'roll-back', expected a Reaction")
    assert failure.hint == "Reaction.ROLL_BACK; a function may return None"


def test_parts_of_a_reaction_are_checked_when_it_is_made() -> None:
    with pytest.raises(WatchError, match=r"Ablate: expected edits by their sites, got 'layers\.0:out'"):
        Ablate("layers.0:out")
    with pytest.raises(WatchError, match="Notify: expected Webhook, File or Desktop, got 'https://example'"):
        Notify("https://example")
    with pytest.raises(WatchError, match=r"on_finding: .* got None"):
        Filing(None)


def test_functions_stay_functions_and_several_stay_several() -> None:
    kept = []
    w, _ = start(Scripted(rising), [lambda alarm: None, Reaction.LOG, kept.append, Ablate({"layers.0:out": zero()})])
    assert len(w._answers.on_alarm) == 4
    for given in ((), [], [kept.append], kept.append):
        made(on_look=given)
    made(on_alarm=[], on_finding=kept.append, investigate=(kept.append,))

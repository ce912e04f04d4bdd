"""What may follow an alarm, and how several things that follow one are put in order."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final

from darklantern.errors import WatchError
from darklantern.watch.alarms import Alarm
from darklantern.watch.runs.notifying import Place


class Reaction(Enum):
    """What to do about an alarm, from mild to severe."""

    LOG = "keep the record and the clean state, go on"
    CHECKPOINT = "write the clean state and the present one into the run's folder, tagged, go on"
    PAUSE = "wait for a person: `darklantern watch go-on`, `roll-back` or `stop`"
    ROLL_BACK = "restore the last clean state, screen suspect examples, go on"
    STOP = "end the loop at this step"


@dataclass(frozen=True)
class Ablate:
    """Train on with edits in place, for example `Ablate({"layers.3:out": project(direction)})`. On request only.

    It keeps a circuit from forming by what is ablated; what the model then learns elsewhere, the watch still watches.
    With ROLL_BACK it is in place from the earlier state on. A later rollback lifts it; asked for again at the same
    sites, it takes the place of the one before. The watch's `lift()` and `close()` take it out of the model.
    """

    edits: Mapping[str, Any] = field(default_factory=dict)
    """site → edit, as in `model.run(inputs, edits)`"""
    preventative: bool = False
    """in place only while a batch is trained on. Looks, `on_look`, and whatever comes after the loop have the model
    without the edits, as its weights alone make it. Ablating a trait's direction so (Casademunt et al., arXiv
    2507.16795), or adding it (Chen et al., arXiv 2507.21509), leaves training less to gain from learning the trait"""

    def __post_init__(self) -> None:
        if not isinstance(self.edits, Mapping):
            raise WatchError(f"Ablate: expected edits by their sites, got {self.edits!r}", hint=_MADE["Ablate"])


@dataclass(frozen=True)
class Notify:
    """Tell people: `Notify(Webhook("https://…"), Desktop())`. What was seen in the data stays out of it."""

    places: tuple[Place, ...]

    def __init__(self, *places: Place) -> None:
        if wrong := [each for each in places if not isinstance(each, Place)]:
            raise WatchError(
                f"Notify: expected Webhook, File or Desktop, got {wrong[0]!r}", hint='Notify(Webhook("https://…"))'
            )
        object.__setattr__(self, "places", places)


Chosen = Reaction | Ablate | Notify
OnAlarm = Chosen | Callable[[Alarm], Any] | Sequence[Chosen | Callable[[Alarm], Any]]
"""a reaction, a function from an alarm to one (or to None, having done what it does), or several of these. A function
is run beside the training, as a look is; to go back it returns ROLL_BACK"""


def chosen(on_alarm: OnAlarm, alarm: Alarm, heard: list[Chosen | Exception]) -> tuple[list[Chosen], Exception | None]:
    """What to do about `alarm`, mildest first, and the first error of a function in `on_alarm`, if any failed.

    Each function has been called, in their order, also after one that failed: a notice that cannot be sent must not
    keep a run from being stopped. What is no reaction is an error too, a WatchError. What each said is added to
    `heard`, by which a call that was cut off is gone on with.
    """
    every = on_alarm if isinstance(on_alarm, Sequence) else (on_alarm,)
    for each in every[len(heard) :]:
        try:
            said = each(alarm) if callable(each) and not isinstance(each, Chosen) else each
            heard.append(Reaction.LOG if said is None else _checked(said))
        except Exception as error:  # noqa: BLE001 - it is the user's; `Settings.on_failure` says what comes of it
            heard.append(error)
    found = [Reaction.LOG, *(each for each in heard if not isinstance(each, Exception) and each is not Reaction.LOG)]
    return sorted(found, key=severity), next((each for each in heard if isinstance(each, Exception)), None)


def check(on_alarm: Any) -> None:
    """Raises WatchError unless `on_alarm` is one of `OnAlarm`: what could never be done is not found at the alarm."""
    for each in on_alarm if _are_several(on_alarm) else (on_alarm,):
        is_kind = isinstance(each, type) and issubclass(each, Chosen)  # callable, but called with an alarm it fails
        if is_kind or not (isinstance(each, Chosen) or callable(each)):
            where = f" in {on_alarm!r}" if _are_several(on_alarm) else ""
            raise WatchError(f"on_alarm: expected a Reaction or a function, got {each!r}{where}", hint=_meant(each))


def _are_several(on_alarm: Any) -> bool:
    return isinstance(on_alarm, Sequence) and not isinstance(on_alarm, str | bytes)


def _checked(said: Any) -> Chosen:
    if isinstance(said, Chosen):
        return said
    raise WatchError(f"on_alarm gave {said!r}, expected a Reaction", hint=f"{_meant(said)}; a function may return None")


def _meant(said: Any) -> str:
    """What somebody may have meant who gave `said` for a reaction."""
    if isinstance(said, type) and issubclass(said, Ablate | Notify):
        return f"one of it: {_MADE['Ablate' if issubclass(said, Ablate) else 'Notify']}"
    names = {_letters(each.name): f"Reaction.{each.name}" for each in Reaction}
    names |= {_letters(name): made for name, made in _MADE.items()}
    found = get_close_matches(_letters(said), names, 1, cutoff=0.75) if isinstance(said, str) else ()
    if found:
        return names[found[0]]
    return f"Reaction.{', '.join(each.name for each in Reaction)}, {' or '.join(_MADE.values())}"


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower().removeprefix("reaction."))


SEVERE: Final = (Reaction.PAUSE, Reaction.ROLL_BACK, Reaction.STOP)
"""of these one is done: each decides how the loop goes on"""
_MADE = {"Ablate": "Ablate({site: edit})", "Notify": "Notify(Webhook(...))"}


def severity(reaction: Chosen) -> int:
    """From keeping the record to ending the loop; what only tells or changes little comes before what waits."""
    order = [Reaction.LOG, Notify, Reaction.CHECKPOINT, Ablate, Reaction.PAUSE, Reaction.ROLL_BACK, Reaction.STOP]
    return order.index(reaction if isinstance(reaction, Reaction) else type(reaction))


def in_turn(asked: Sequence[Chosen]) -> list[Chosen]:
    """What is done of `asked`, mildest first: of what waits, goes back or ends only the most severe.

    A rollback lifts what was ablated before it, so what is ablated with one comes after it: it is for what that leads
    to.
    """
    mild = [each for each in asked if each not in SEVERE and each is not Reaction.LOG]
    severe = [each for each in asked if each in SEVERE][-1:]
    if severe != [Reaction.ROLL_BACK]:
        return [*mild, *severe]
    ablated = [each for each in mild if isinstance(each, Ablate)]
    return [*(each for each in mild if not isinstance(each, Ablate)), *severe, *ablated]


def places(on_alarm: OnAlarm) -> list[Place]:
    """Where people are told of an alarm, whatever it says."""
    return [place for each in wanted(on_alarm) if isinstance(each, Notify) for place in each.places]


def wanted(on_alarm: OnAlarm) -> list[Chosen]:
    """The reactions that are asked for whatever the alarm: what can be checked before there is one."""
    each = on_alarm if isinstance(on_alarm, Sequence) else (on_alarm,)
    return [one for one in each if isinstance(one, Chosen)]

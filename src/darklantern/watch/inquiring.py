"""After an alarm: what is too dear for every look is run once, on the model as it stands, before anything is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from darklantern.errors import WatchError, cause_of
from darklantern.watch.alarms import Alarm
from darklantern.watch.examples import Examples


@dataclass(frozen=True)
class Case:
    """What an investigation is given."""

    model: Any
    """the model at the alarm, opened: of torch or JAX, by the same words (`darklantern.open`)"""
    trusted: Examples
    alarm: Alarm
    seed: int


@dataclass(frozen=True)
class Investigated:
    """What one investigation found."""

    name: str
    result: Any
    """what it returned; its text is what is told and filed"""


Investigation = Callable[[Case], Any]
"""a function of the case: `lambda case: learning_coefficient(case.model, case.trusted.take(slice(200)))`"""


def named(investigations: Sequence[Investigation]) -> list[tuple[str, Investigation]]:
    """Each with a name of its own. Raises WatchError for what is no function, and for what are not several."""
    several = isinstance(investigations, Sequence) and not isinstance(investigations, str | bytes)
    if wrong := [each for each in investigations if not callable(each)] if several else [investigations]:
        raise WatchError(
            f"investigate: expected a list of functions of the case, got {wrong[0]!r}",
            hint="investigate=[lambda case: ...]",
        )
    found: dict[str, Investigation] = {}
    for each in investigations:
        name = getattr(each, "__name__", type(each).__name__).replace("_", " ").replace("<lambda>", "investigation")
        count = sum(name == known or known.startswith(f"{name} (") for known in found)
        found[name if not count else f"{name} ({count + 1})"] = each
    return list(found.items())


def inquire(
    left: list[tuple[str, Investigation]], case: Case, say: Callable[[str, str], None], found: list[Investigated]
) -> None:
    """Run each that is `left` on `case`, and put what it gives among `found`.

    One that fails is said, and the others still run: the reaction must come anyway. So is one that is cut off, by
    Ctrl-C for instance: it is left no more, so that one that never ends cannot hold the reaction up for ever.
    """
    while left:
        name, each = left.pop(0)
        try:
            result = each(case)
            said = str(result)
        except Exception as error:  # noqa: BLE001 - an investigation is the user's, and the run is not to end by it
            why = cause_of(error)
            say("failure", f"{name} of the alarm at step {case.alarm.step}: {why}")
            continue
        except BaseException:
            say("failure", f"{name} of the alarm at step {case.alarm.step}: it was cut off, and is not run again")
            raise
        say("investigated", f"{name}: {said}")
        found.append(Investigated(name, result))

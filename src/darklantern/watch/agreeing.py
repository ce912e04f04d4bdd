"""Ranks that train together see and decide alike: one look's readings, and what follows them, from all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from darklantern.errors import WatchError, cause_of
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.looking import Looked, Looker, Pass
from darklantern.watch.probes import Asked, Now, Reading, Signal
from darklantern.watch.reactions import Ablate, Chosen, Reaction, severity
from darklantern.watch.seen import Floats
from darklantern.watch.spans import Candidate

T = TypeVar("T")


def together(ranks: Ranks, take: Callable[[], T], what: str) -> list[T]:
    """What `take` gives on each rank, in their order: JSON values, or None.

    What fails on one rank fails on all, with the cause and the rank's number: one that went on alone would wait for
    the others for ever, or they for it.
    """
    if ranks.count == 1:
        return [take()]
    mine: Any = None
    cause: Exception | None = None
    try:
        mine = take()
    except Exception as error:  # noqa: BLE001 - the others must hear of it, and it is raised again below
        cause = error
    said = ranks.gather([_said(cause), mine])
    if (failure := _failure([why for why, _ in said], what, cause)) is not None:
        raise failure
    return [value for _, value in said]


def look(
    ranks: Ranks,
    looker: Looker,
    now: Now,
    signals: Mapping[str, Signal],
    own: Callable[[Looked, Now], Looked] = lambda looked, now: looked,
) -> Looked:
    """What `looker` finds, agreed: of each of `signals` the reading of highest contrast on any rank, and all scores.

    `own` makes of what this rank found what counts of it. A pass over a model that is cut over the ranks is one of all,
    as is fetching its weights. So what a probe's `inputs` raises on one rank is raised on all before the first pass,
    all do the passes that any needs, and what `note`, `read` and `scores` raise comes after the last.
    """
    if ranks.count == 1:
        return own(looker.look(now), now)
    asked: list[Asked] = []

    def ask() -> list[Any]:
        asked[:] = looker.ask(now)
        return [list(each) for each in looker.passes(asked)]

    with looker.aside():
        passes = _united(together(ranks, ask, "the look"))
        said = together(ranks, lambda: _as_json(own(looker.read(now.step, asked, passes), now)), "the look")
    return Looked(_highest(said, signals), _pooled(said))


def chosen(
    ranks: Ranks, ask: Callable[[], tuple[list[Chosen], Exception | None]]
) -> tuple[list[Chosen], Exception | None]:
    """What `ask` says to do about an alarm, and what is more severe on any other rank, mildest first; what failed.

    Raises WatchError where ranks could not do the same: some ablate, and others don't.
    """
    if ranks.count == 1:
        return ask()
    mine, cause = ask()
    ablated = [[*sorted(map(str, each.edits)), each.preventative] for each in mine if isinstance(each, Ablate)]
    names = [each.name for each in mine if isinstance(each, Reaction)]
    said = ranks.gather([_said(cause), names, ablated])
    failure = _failure([why for why, _, _ in said], "on_alarm", cause)
    apart = [rank for rank, (_, _, edits) in enumerate(said) if edits != said[0][2]]
    if apart and failure is None:
        raise WatchError(
            f"on_alarm ablated on some ranks, and on rank {apart[0]} other things than on rank 0",
            hint="on_alarm runs on every rank and must do there what it does on the others; a Reaction that one of "
            "them returns holds for all",
        )
    if apart:  # what failed on some is done on none
        mine = [each for each in mine if not isinstance(each, Ablate)]
    others = dict.fromkeys(Reaction[each] for _, names, _ in said for each in names)
    return sorted([*mine, *(each for each in others if each not in mine)], key=severity), failure


def failures(ranks: Ranks, mine: Sequence[tuple[str, Exception]]) -> list[tuple[str, Exception]]:
    """What failed here, as what was asked and why, then what failed on other ranks alone: of a notice, for instance,
    which the first of them sends. Each rank calls it."""
    if ranks.count == 1:
        return [*mine]
    known = {what for what, _ in mine}
    others: dict[str, Exception] = {}
    for rank, part in enumerate(ranks.gather([[what, _said(error)] for what, error in mine])):
        for what, why in part:
            if what not in known:
                hint = f"see what rank {rank} printed; the others only heard of it"
                others.setdefault(what, WatchError(f"on rank {rank}: {why}", hint=hint))
    return [*mine, *others.items()]


def suspects(ranks: Ranks, mine: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """What stands out on any rank, most surprising first, each span once."""
    if ranks.count == 1:
        return mine
    said = ranks.gather([[c.span, c.count, c.surprise, c.as_ids] for c in mine])
    every = sorted((Candidate(*each) for part in said for each in part), key=lambda c: (-c.surprise, c.span))
    return tuple({c.span: c for c in reversed(every)}.values())[::-1]


def _failure(said: list[str], what: str, cause: Exception | None) -> WatchError | None:
    """What all ranks raise of what each of them said went wrong there; None where nothing did."""
    failed = [(rank, why) for rank, why in enumerate(said) if why]
    if not failed:
        return None
    named = "; ".join(f"rank {rank}: {why}" for rank, why in failed)
    error = WatchError(
        f"{what} failed on {len(failed)} of {len(said)} ranks: {named}",
        hint=getattr(cause, "hint", "") or "see the traceback of the rank that is named",
    )
    error.__cause__ = cause
    return error


def _united(said: list[list[Any]]) -> list[Pass]:
    """The passes that any rank needs, each with the probes that have rows for it on some rank, in one order for all."""
    found: dict[tuple[tuple[int, ...], str], set[int]] = {}
    for each in said:
        for shape, kind, numbers in each:
            found.setdefault((tuple(shape), kind), set()).update(numbers)
    return [Pass(shape, kind, tuple(sorted(numbers))) for (shape, kind), numbers in sorted(found.items())]


def _said(error: Exception | None) -> str:
    return "" if error is None else cause_of(error)


def _as_json(looked: Looked) -> dict[str, Any]:
    return {
        "readings": {name: [reading.value, reading.placebo] for name, reading in looked.readings.items()},
        "scores": {name: [list(map(float, part)) for part in pair] for name, pair in looked.scores.items()},
    }


def _highest(said: list[dict[str, dict[str, list[float]]]], signals: Mapping[str, Signal]) -> dict[str, Reading]:
    return {
        name: max((Reading(*each["readings"][name]) for each in said), key=signals[name].contrast)
        for name in said[0]["readings"]
    }


def _pooled(said: list[dict[str, dict[str, list[list[float]]]]]) -> dict[str, tuple[Floats, Floats]]:
    """Rows of all ranks in one bet: they are fresh draws under the same weights."""
    names = {name for each in said for name in each["scores"]}
    return {
        name: (
            np.concatenate([each["scores"][name][0] for each in said if name in each["scores"]]),
            np.concatenate([each["scores"][name][1] for each in said if name in each["scores"]]),
        )
        for name in sorted(names)
    }

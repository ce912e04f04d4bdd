"""Ranks that train together see and decide alike: one look's readings, and what follows them, from all of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from darklantern.errors import DarkLanternError, WatchError
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.looking import Looked
from darklantern.watch.probes import Reading
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
    if failed := [(rank, failure) for rank, (failure, _) in enumerate(said) if failure]:
        named = "; ".join(f"rank {rank}: {why}" for rank, why in failed)
        raise WatchError(
            f"{what} failed on {len(failed)} of {ranks.count} ranks: {named}",
            hint=getattr(cause, "hint", "") or "see the traceback of the rank that is named",
        ) from cause
    return [value for _, value in said]


def look(ranks: Ranks, take: Callable[[], Looked]) -> Looked:
    """What `take` finds, agreed: of each signal the reading that stands highest on any rank, and all scores."""
    if ranks.count == 1:
        return take()
    said = together(ranks, lambda: _as_json(take()), "the look")
    return Looked(_highest(said), _pooled(said))


def chosen(ranks: Ranks, ask: Callable[[], list[Chosen]], rolled_back: Callable[[], bool]) -> list[Chosen]:
    """What `ask` says to do about an alarm, and what is more severe on any other rank, mildest first.

    `rolled_back` says, once it was asked, whether it put an earlier state back itself. Raises WatchError where ranks
    could not do the same: some ablate, or went back, and others don't.
    """
    if ranks.count == 1:
        return ask()
    mine: list[Chosen] = []

    def name() -> list[Any]:
        mine[:] = ask()
        ablated = [[*sorted(map(str, each.edits)), each.preventative] for each in mine if isinstance(each, Ablate)]
        return [[each.name for each in mine if isinstance(each, Reaction)], [ablated, rolled_back()]]

    said = together(ranks, name, "on_alarm")
    apart = [rank for rank, (_, done) in enumerate(said) if done != said[0][1]]
    if apart:
        raise WatchError(
            f"on_alarm ablated or rolled back on some ranks, and on rank {apart[0]} other things than on rank 0",
            hint="on_alarm runs on every rank and must do there what it does on the others; a Reaction that one of "
            "them returns holds for all",
        )
    others = dict.fromkeys(Reaction[each] for names, _ in said for each in names)
    return sorted([*mine, *(each for each in others if each not in mine)], key=severity)


def suspects(ranks: Ranks, mine: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """What stands out on any rank, most surprising first, each span once."""
    if ranks.count == 1:
        return mine
    said = ranks.gather([[c.span, c.count, c.surprise] for c in mine])
    every = sorted((Candidate(*each) for part in said for each in part), key=lambda c: (-c.surprise, c.span))
    return tuple({c.span: c for c in reversed(every)}.values())[::-1]


def _said(error: Exception | None) -> str:
    if error is None:
        return ""
    return error.message if isinstance(error, DarkLanternError) else repr(error)


def _as_json(looked: Looked) -> dict[str, Any]:
    return {
        "readings": {name: [reading.value, reading.placebo] for name, reading in looked.readings.items()},
        "scores": {name: [list(map(float, part)) for part in pair] for name, pair in looked.scores.items()},
    }


def _highest(said: list[dict[str, dict[str, list[float]]]]) -> dict[str, Reading]:
    names = said[0]["readings"]
    return {
        name: max((Reading(*each["readings"][name]) for each in said), key=lambda reading: reading.difference)
        for name in names
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

"""Ranks that train together see and decide alike: one look's readings, from all of them."""

from collections.abc import Callable

import numpy as np

from darklantern.errors import DarkLanternError, WatchError
from darklantern.watch.attach.ranks import Ranks
from darklantern.watch.looking import Looked
from darklantern.watch.probes import Reading
from darklantern.watch.seen import Floats
from darklantern.watch.spans import Candidate


def look(ranks: Ranks, take: Callable[[], Looked]) -> Looked:
    """What `take` finds, agreed: of each signal the reading that stands highest on any rank, and all scores.

    A look that fails on one rank fails on all, with the cause and the rank's number: one that went on alone would wait
    for the others for ever.
    """
    if ranks.count == 1:
        return take()
    try:
        mine, failure = take(), ""
    except DarkLanternError as error:
        mine, failure = Looked({}, {}), f"{error.message}"
    except Exception as error:  # noqa: BLE001 - the others must hear of it, and it is raised again below
        mine, failure = Looked({}, {}), repr(error)
    said = ranks.gather(
        {
            "failure": failure,
            "readings": {name: [r.value, r.placebo] for name, r in mine.readings.items()},
            "scores": {name: [list(map(float, part)) for part in pair] for name, pair in mine.scores.items()},
        }
    )
    if failed := [(rank, each["failure"]) for rank, each in enumerate(said) if each["failure"]]:
        named = "; ".join(f"rank {rank}: {why}" for rank, why in failed)
        raise WatchError(f"the look failed on {len(failed)} of {ranks.count} ranks: {named}", hint="see its log")
    return Looked(_highest(said), _pooled(said))


def suspects(ranks: Ranks, mine: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """What stands out on any rank, most surprising first, each span once."""
    if ranks.count == 1:
        return mine
    said = ranks.gather([[c.span, c.count, c.surprise] for c in mine])
    every = sorted((Candidate(*each) for part in said for each in part), key=lambda c: (-c.surprise, c.span))
    return tuple({c.span: c for c in reversed(every)}.values())[::-1]


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

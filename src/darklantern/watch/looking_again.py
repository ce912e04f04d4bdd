"""A look done again, from weights that were kept: what an alarm's evidence is compared with.

In: two states of a model, probes, trusted examples, the spans that were tested. Out: the readings of the second, held
against the first as a watch holds it against the state at attach.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from darklantern.errors import WatchError
from darklantern.watch import attach
from darklantern.watch.examples import Examples, Pool
from darklantern.watch.looking import Looker
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.spans import Candidate, SpanCounter

Tested = Sequence[Mapping[str, Any]]
"""what a probe asked of the counter of spans, and what it was given: `count`, `looks`, `spans` as token ids"""


@dataclass(frozen=True)
class GivenSpans:
    """Answers as a counter of spans did once. Other questions are refused."""

    tested: Tested

    def candidates(self, count: int, looks: int, least: float = 0.0) -> list[Candidate]:
        """The spans that were found then; their counts are not kept."""
        for each in self.tested:
            if (each["count"], each["looks"], each["least"]) == (count, looks, least):
                return [Candidate("".join(map(chr, span)), 0, 0.0) for span in each["spans"]]
        raise WatchError(
            f"the recipe does not hold the {count} spans of the last {looks} looks",
            hint="it was made by another version",
        )


class Noting:
    """A counter of spans that writes down what it was asked and what it said."""

    def __init__(self, counter: SpanCounter) -> None:
        self._counter = counter
        self.tested: list[dict[str, Any]] = []

    def candidates(self, count: int, looks: int, least: float = 0.0) -> list[Candidate]:
        found = self._counter.candidates(count, looks, least=least)
        said = {"count": count, "looks": looks, "least": least, "spans": [list(map(ord, c.span)) for c in found]}
        if said not in self.tested:
            self.tested.append(said)
        return found


def look_again(
    first: Any,
    model: Any,
    probes: Sequence[Probe],
    trusted: Examples,
    tested: Tested | None,
    *,
    step: int = 0,
    seed: int = 0,
    readout: Any = None,
    call: Any = None,
) -> dict[str, Reading]:
    """Each signal's reading in `model`, after a first look at `first`. Two passes.

    Signals that need more of the run than these two states (a window of looks, fresh training rows) read something
    else than they did then. Raises WatchError and SiteError as a look does.
    """
    spans: Any = None if tested is None else GivenSpans(tested)
    looker = Looker(attach.tap(first, (), readout, None, call, None), probes)
    looker.look(Now(0, Pool(trusted, seed), None, spans))
    looker.turn_to(attach.tap(model, (), readout, None, call, None))
    return dict(looker.look(Now(step, Pool(trusted, seed), None, spans)).readings)

"""Which examples to leave out after a rollback."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.examples import Array, Examples
from darklantern.watch.formulas import Floats
from darklantern.watch.formulas.linear_discriminant import LinearDiscriminant, linear_discriminant
from darklantern.watch.pictured import placed
from darklantern.watch.spans import Candidate, as_texts

SUSPICIOUS_SPAN = 60.0
"""nats of surprise from which a span tells suspect rows; in clean pilot runs no span came near it"""

ENOUGH = 48
"""suspects"""


class Screen(Protocol):
    """Tells suspect examples from others, and says how.

    A screen may learn as it judges, so each batch is judged once.
    """

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        """True for each suspect example, (n,)."""
        ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class SpanScreen:
    """Token rows that hold a span which trusted text hardly has."""

    spans: tuple[Candidate, ...]
    """most surprising first"""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        texts = as_texts(examples.tokens)
        return np.array([any(c.span in text for c in self.spans) for text in texts], dtype=bool)

    def __str__(self) -> str:
        return f"rows that hold {', '.join(c.quoted for c in self.spans)}"


@dataclass(frozen=True)
class PatternScreen:
    """Examples that hold the values of a pattern, such as a patch, at its places."""

    positions: tuple[int, ...]
    """in an example made flat"""
    values: tuple[float, ...]
    tolerance: float
    """how far from them a value may be"""
    shape: tuple[int, ...] = ()
    """of one example, where it is an image; to say where the positions are"""
    spatial: tuple[int, int] = (-2, -1)
    """which of its axes are rows and columns, from the end"""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        flat = examples.inputs.reshape(len(examples), -1)[:, list(self.positions)]
        found: NDArray[np.bool_] = (np.abs(flat - np.array(self.values)) <= self.tolerance).all(1)
        return found

    def __str__(self) -> str:
        return f"examples with {placed(self.positions, self.values, self.shape, self.spatial)}"


class FeatureScreen:
    """Examples whose features speak against their label, in a model that is frozen when the screen is first asked.

    That is after the rollback, so the model is the clean one, whatever the run learns later. A trigger need have no
    fixed pattern, but the label must be wrong: rows of a clean-label attack pass. Of clean rows it takes about `share`,
    the hardest; where training rows are other than trusted ones, more. Costs a forward pass over each batch.

    It learns as it judges, and is equal to itself alone: rows to which the trigger does little pass too, so suspects
    are gathered, and once there are `ENOUGH`, what they have in common is taken as well, from that batch on.
    """

    def __init__(
        self,
        freeze: Callable[[], Callable[[Array], Floats]],
        trusted: Examples,
        share: float = 0.01,
        common: Callable[[Examples], Screen | None] = lambda suspects: None,
    ) -> None:
        """`freeze` gives the model as it stands when it is called, as a function from inputs (n, …) to features
        (n, …). Of `trusted` examples, with a class each, one half fits the classes, the other says what is usual;
        `share` of them it would take. `common` says what suspects have in common, where anything tells them from
        trusted examples.
        """
        self._freeze, self._trusted, self._share, self._common = freeze, trusted, share, common
        self._gathered: list[Examples] = []
        """suspects since the start, or since others had nothing in common; none once `shared` is known"""
        self.shared: Screen | None = None
        """what suspects have in common, once it is known"""

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        """Raises WatchError for examples without labels."""
        features, classes, limit = self._fitted
        if not len(examples):
            return np.zeros(0, dtype=bool)
        found: NDArray[np.bool_] = classes.against(features(examples.inputs), _labels(examples)) > limit
        self._learn(examples.take(found))
        return found if self.shared is None else found | self.shared.suspect(examples)

    def _learn(self, suspects: Examples) -> None:
        """Gather suspects until there are enough to say what they have in common; if nothing, gather as many anew."""
        if self.shared is not None or not len(suspects):
            return
        self._gathered.append(suspects)
        if sum(map(len, self._gathered)) >= ENOUGH:
            inputs = np.concatenate([each.inputs for each in self._gathered])
            self._gathered.clear()
            self.shared = self._common(Examples(inputs))

    @cached_property
    def _fitted(self) -> tuple[Callable[[Array], Floats], LinearDiscriminant, float]:
        """The frozen model, the classes, and the nats against a label from which an example is suspect."""
        features, given = self._freeze(), _labels(self._trusted)
        held = features(self._trusted.inputs)
        order = np.argsort(given, kind="stable")  # every other one of each class
        fitted, usual = order[::2], order[1::2]
        classes = linear_discriminant(held[fitted], given[fitted])
        return features, classes, float(np.quantile(classes.against(held[usual], given[usual]), 1 - self._share))

    def __str__(self) -> str:
        said = "examples that lie where another class than their label's does"
        return said if self.shared is None else f"{said}; {self.shared}"


@dataclass(frozen=True)
class Either:
    """What any of several screens suspects."""

    screens: tuple[Screen, ...]

    def suspect(self, examples: Examples) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.any([screen.suspect(examples) for screen in self.screens], axis=0)
        return found

    def __str__(self) -> str:
        return "; ".join(map(str, self.screens))


def _labels(examples: Examples) -> NDArray[np.int64]:
    if examples.targets is None or examples.targets.ndim != 1:
        raise WatchError(
            "expected examples with a label each, by which to tell those that lie elsewhere",
            hint="batches as (inputs, targets), with targets (n,)",
        )
    return examples.targets.astype(np.int64)


def any_of(screens: Sequence[Screen]) -> Screen:
    """What any of `screens` suspects; spans of several alarms make one screen."""
    spans = tuple(c for screen in screens if isinstance(screen, SpanScreen) for c in screen.spans)
    others = [screen for screen in screens if not isinstance(screen, SpanScreen)]
    parts: list[Screen] = [*([SpanScreen(spans)] if spans else []), *others]
    return parts[0] if len(parts) == 1 else Either(tuple(parts))

"""What a model would say if it stopped after each layer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.lenses.readings import Reading
from darklantern.methods.lenses.tails import SelfTest
from darklantern.methods.results import Result
from darklantern.models.picture import Picture
from darklantern.models.sites import Site
from darklantern.records.findings import Figure, Grid


@dataclass(frozen=True, repr=False, eq=False)
class Lens(Result):
    """What is read at each layer and position, beside what the model itself says there."""

    how: str
    sites: tuple[Site, ...]
    """one for each layer"""
    readings: tuple[Reading, ...] = field(repr=False)
    own: Reading = field(repr=False)
    """what the model itself says"""
    tested: SelfTest
    prompts: tuple[tuple[str, ...], ...]
    """each example's tokens as text; empty where they are not known"""
    words: dict[int, str] = field(repr=False)
    """the likeliest tokens as text, or as their numbers where the model was opened without a tokenizer"""

    @property
    def kl(self) -> NDArray[np.float64]:
        """(layer, batch, pos): nats, KL(model ‖ lens). NaN in padding, here and below."""
        return np.stack([each.kl for each in self.readings])

    @property
    def entropy(self) -> NDArray[np.float64]:
        """(layer, batch, pos): nats."""
        return np.stack([each.entropy for each in self.readings])

    @property
    def tokens(self) -> NDArray[np.int64]:
        """(layer, batch, pos, rank): the likeliest tokens, first comes first; -1 in padding."""
        return np.stack([each.tokens for each in self.readings])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(layer, batch, pos, rank): theirs."""
        return np.stack([each.probabilities for each in self.readings])

    @property
    def target_probability(self) -> NDArray[np.float64] | None:
        """(layer, batch, pos): of the token asked for; None where none was."""
        found = [each.target_probability for each in self.readings if each.target_probability is not None]
        return np.stack(found) if found else None

    @property
    def target_rank(self) -> NDArray[np.float64] | None:
        """(layer, batch, pos): 1 where it is the likeliest; None where none was asked for."""
        found = [each.target_rank for each in self.readings if each.target_rank is not None]
        return np.stack(found) if found else None

    @property
    def agreement(self) -> NDArray[np.float64]:
        """(layer,): at what share of positions the likeliest token is the model's own."""
        real = self.own.tokens[..., 0] >= 0
        return np.array([(each.tokens[..., 0] == self.own.tokens[..., 0])[real].mean() for each in self.readings])

    def text(self, token: int) -> str:
        """One of the likeliest tokens as text."""
        return self.words.get(token, str(token))

    def show(self, example: int = 0, by: str = "probability") -> Picture:
        """Layers × positions of one example with the likeliest token in each cell, coloured `by` its probability.

        Or by `kl`, `entropy`, or `target`, the probability of the token asked for. Raises MethodError for others.
        """
        from darklantern.methods.lenses.showing import picture

        return picture(self, example, by)

    @property
    def says(self) -> str:
        means = np.nanmean(self.kl, axis=(1, 2))
        return (
            f"{self.how} lens at {len(self.sites)} sites: KL to what the model says {means[0]:.3g} nats at the first, "
            f"{means[-1]:.3g} at the last"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        means = np.nanmean(self.kl, axis=(1, 2))
        named = [
            Figure(name=f"KL at {site}", value=float(each), unit="nats")
            for site, each in zip(self.sites, means, strict=True)
        ]
        return (*named, Figure(name="self-test: largest difference of logits", value=self.tested.largest))

    @property
    def grids(self) -> tuple[Grid, ...]:
        rows = tuple(map(str, self.sites))
        by_pos = tuple(tuple(map(float, np.nanmean(each.kl, axis=0))) for each in self.readings)
        columns = tuple(map(str, range(len(by_pos[0]))))
        means = [np.nanmean(each, axis=(1, 2)) for each in (self.kl, self.entropy)]
        names = ["KL", "entropy", "agreement"]
        means.append(self.agreement)
        if self.target_probability is not None and self.target_rank is not None:
            names += ["target probability", "target rank"]
            means += [np.nanmean(each, axis=(1, 2)) for each in (self.target_probability, self.target_rank)]
        table = tuple(tuple(map(float, row)) for row in zip(*means, strict=True))
        return (
            Grid(name="mean over positions", unit="", rows=rows, columns=tuple(names), values=table),
            Grid(name="KL, mean over examples", unit="nats", rows=rows, columns=columns, values=by_pos),
        )

    @property
    def read(self) -> Sequence[Site]:
        return self.sites

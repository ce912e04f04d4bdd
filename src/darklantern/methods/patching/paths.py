"""Path patching: what one part tells one reader directly, all other paths held."""

from collections.abc import Iterator, Sequence
from typing import Any

from darklantern.methods.aligned import aligned
from darklantern.methods.making import making
from darklantern.methods.metrics import Metric, bound, number
from darklantern.methods.opened import check_opened
from darklantern.methods.patching.held import Held, held, seen, wrote
from darklantern.methods.patching.naming import Pinned, heard, inner, spoken
from darklantern.methods.patching.path_effects import Paths, lost
from darklantern.methods.patching.tracing import wired
from darklantern.methods.patching.wiring import Receiver, Sender
from darklantern.methods.progress import tracked
from darklantern.models.edits import put
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


def path_patch(
    model: Model,
    clean: Any,
    corrupt: Any,
    senders: Sequence[str | Site],
    receivers: Sequence[str | Site],
    metric: Metric,
) -> Paths:
    """What the metric loses where one receiver alone hears from one sender what that says on `corrupt`.

    Senders write into the stream: `embed`, a head `layers.0.attn:result[head=1]`, an MLP `layers.0.mlp:out`. Receivers
    read it: a head's `layers.1.attn:q[head=0]`, `k` or `v` (of the key-value head, where query heads share one), an
    MLP's `layers.1.mlp:in`, `logits`. `head=*` stands for each head, a glob for each part; `pos` may be pinned on both
    sides, to one position for all examples: then the sender's word of that position alone is exchanged, or the
    receiver changed there alone. A sender that a receiver does not read, as of a later layer, has no effect on it.

    On `clean`, the receiver's input is changed by (sender on corrupt - sender on clean); everything else that it reads
    stays as on `clean`, and what is computed from it follows. Effects are shares: 0 where nothing is lost, 1 where the
    metric becomes that on `corrupt`. Over heads, MLPs and embedding the effects on the logits need not add up to 1.

    Costs a partial run for each sender and part that receives, and another from that part on for each receiver, besides
    what finding the wiring takes. Inputs must be aligned: position i of one means position i of the other.
    Sources: Wang et al. 2022, Interpretability in the Wild; Goldowsky-Dill et al. 2023, Localizing Model Behavior.

    Raises MethodError for a model whose parts do not add to a stream, for names that are none of its senders and
    receivers, and where clean and corrupt give the same metric.
    """
    check_opened(model)
    with without_gradients(), making("path_patch", model) as under_way:
        under_way.saw(clean, corrupt)
        # 1. What there is, and what the two runs hold there.
        clean, corrupt = aligned(model, clean, corrupt)
        wiring = wired(model, clean, corrupt)
        froms, tos = spoken(model, wiring, senders), heard(model, wiring, receivers)
        here, other = held(model, clean, wiring, len(froms) * len(tos)), model.record(corrupt, *seen(wiring))
        on_clean = bound(metric, model, clean)
        high, low = number(on_clean, here.plain.output), number(bound(metric, model, corrupt), other.output)
        whole = lost(high, low)

        # 2. Each sender into each part's entrance; what comes of it, receiver by receiver.
        effects = [
            [(high - number(on_clean, output)) / whole for output in heard_from(here, other, sender, tos)]
            for sender in tracked(froms, "senders", len(froms))
        ]
    rows = tuple(map(tuple, effects))
    return Paths(tuple(map(str, froms)), tuple(map(str, tos)), rows, high, low, made=under_way.made())


def heard_from(
    here: Held, other: Recording, sender: Pinned[Sender], receivers: Sequence[Pinned[Receiver]]
) -> Iterator[Any]:
    """What the model returns where one receiver alone hears `sender` as in `other`, receiver after receiver."""
    wiring = here.wiring
    step = _at(here.wrote(sender.of) - wrote(other, wiring, sender.of), sender.pos)
    made: dict[int, Recording] = {}
    for receiver in receivers:
        number = receiver.of.part
        if sender.of not in wiring.upstream(receiver.of) or _apart(sender, receiver):
            yield here.plain.output
        elif number == len(wiring.parts):
            yield here.ending(_at(here.plain[wiring.end], sender.pos) - step, sender.pos)
        else:
            part = wiring.parts[number]
            if number not in made:
                made[number] = here.made(part, _at(here.plain[part.entrance], sender.pos) - step, sender.pos)
            site = inner(part, receiver.of, receiver.pos)
            yield here.output(part, {site: put(made[number][site])})


def _apart(sender: Pinned[Sender], receiver: Pinned[Receiver]) -> bool:
    """Whether each is pinned to a position of its own: what is made of an input is made position by position."""
    return None not in (sender.pos, receiver.pos) and sender.pos != receiver.pos


def _at(value: Value, pos: int | None) -> Value:
    return value if pos is None else value.at(pos=pos)

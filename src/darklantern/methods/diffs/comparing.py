"""Two checkpoints compared: at sites, along directions, over the edges of a circuit."""

from collections.abc import Iterable, Sequence
from typing import Any

from darklantern.errors import MethodError
from darklantern.methods.circuits import Contrast
from darklantern.methods.diffs.changes import Diff
from darklantern.methods.diffs.followed import Followed
from darklantern.methods.diffs.following import followed
from darklantern.methods.diffs.rewiring import rewired
from darklantern.methods.diffs.sites import compared
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


def diff(
    before: Model,
    after: Model,
    data: Any,
    sites: Sequence[str | Site] = (),
    rows: int = 2048,
    count: int = 4,
    seed: int = 0,
    *,
    directions: Followed | Sequence[Followed] = (),
    contrast: Contrast | Iterable[Contrast] | None = None,
    how: str = "eap-ig",
    least: float = 0.01,
) -> Diff:
    """What changed inside a model from `before` to `after`, two checkpoints, on the same data.

    `data` are inputs, or an iterable of them, which is streamed. `sites` are those of both; unless given, all blocks'
    outputs, attention's z and patterns, and MLP neurons, as far as they are there. Of each: how far it moved, of its
    size before, by unit too (head, neuron, channel); CKA, which sees no turning and scaling; and the `count`
    directions along which it moved most. Of outputs that are logits: KL and how often both name the same first.

    Drift is exact over all data. CKA and directions are of `rows` positions, drawn at random by `seed`, the same at
    every site and in both models. Costs a forward run of each model for each batch, and memory for a recording of each.

    `directions` found in `before`, each `Followed` on the inputs that it was found on: whether it still tells the
    classes apart, frozen and refitted, and whether it moved further than another draw of examples moves it; see
    `DirectionDiff`. Each direction costs a run of both models over its inputs up to the site, memory for one vector an
    example, and four fits a draw.

    `contrast`, of which there must be four or more, one after the other: which edges appeared, vanished or changed
    beyond what another draw of contrasts does, with an error of 5 % over all edges together; see `CircuitDiff`. Edges
    are scored by `how`, as by `edge_scores`, at its cost for each model. An edge is there where its score is at least a
    share `least` of the behaviour, the difference of the metric between clean and corrupt inputs. A model may be
    without the behaviour, not both.

    Raises MethodError where both do not fit together, and where there is nothing to compare.
    """
    for each in (before, after):
        check_opened(each)
    _check_two(before, after)
    with making("diff", before, seed) as under_way:
        later = after.hash_later()
        with without_gradients():
            found = compared(before, after, data, sites, rows, count, seed, under_way)
            moved = followed(before, after, directions, seed, under_way)
        edges = None if contrast is None else rewired(before, after, contrast, how, least, seed, under_way)
    return Diff(
        changes=found.changes,
        directions=moved,
        edges=edges,
        rows=found.rows,
        kl=found.outputs.kl,
        agreement=found.outputs.agreement,
        later=later,
        made=under_way.made(),
    )


def _check_two(before: Model, after: Model) -> None:
    one, two = (getattr(each, "module", None) for each in (before, after))
    if before.framework == "torch" and one is two and before.standing == after.standing:
        raise MethodError(
            "before and after are one module, with the weights that it has now",
            hint="copy.deepcopy(module) before it is trained on, or load each checkpoint into a module of its own",
        )

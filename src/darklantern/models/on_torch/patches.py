"""Several patches in one run: each in a copy of the batch of its own, for as long as the copies keep apart."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from darklantern.errors import SiteError
from darklantern.models.edits import put, take
from darklantern.models.on_torch.starting import Start
from darklantern.models.on_torch.structure import mapped, near, strangers, tensors
from darklantern.models.passes import note
from darklantern.models.recording import Recording
from darklantern.models.sites import Site, Span

if TYPE_CHECKING:
    from darklantern.models.on_torch.opened import Model


class Patches:
    """Runs in which cells hold what they held in `source`, up to `at_once` copies of the batch in each.

    The first of them from each start holds a copy besides in which nothing is changed. Where that one does not come
    out as in a run of its own, up to rounding, copies touch each other, or something was taken for the batch that is
    none; then, and where the output cannot be cut into copies, each cell gets a run of its own.
    """

    def __init__(self, model: "Model", source: Recording, at_once: int) -> None:
        self._model, self._source, self._at_once = model, source, at_once
        self._apart: dict[Start, bool] = {}
        """whether copies keep apart in runs from a start, where that was tried out"""

    def outputs(self, inputs: Any, cells: Sequence[Site], examples: int) -> Iterator[Any]:
        """What the model returns with each of `cells` changed, in their order."""
        first = 0
        while first < len(cells):
            some = self._shared(inputs, cells[first:], examples)
            if some is None:
                some = [self._model.run(inputs, {cells[first]: take(self._source)})]
            yield from some
            first += len(some)

    def _shared(self, start: Any, cells: Sequence[Site], examples: int) -> list[Any] | None:
        """The first of `cells` in one run; None where they cannot share one."""
        if self._at_once == 1 or len(cells) == 1 or not isinstance(start, Start) or not examples:
            return None
        if any(axis == "batch" for cell in cells for axis, _ in cell.select) or not self._apart.get(start, True):
            return None
        unchanged = start not in self._apart
        some = cells[: self._at_once - unchanged]
        try:
            found = self._copies(start, some, len(some) + unchanged, examples)
        except Exception:  # noqa: BLE001 - of whatever was no batch; a fault of the cells comes up again when alone
            self._apart[start] = False
            return None
        if unchanged:
            self._apart[start] = near(found.pop(), start.output)
        return found if self._apart[start] else None

    def _copies(self, start: Start, cells: Sequence[Site], count: int, examples: int) -> list[Any]:
        # Pinned to its copy, a cell means what it means alone, padding or not.
        edits: dict[str | Site, Any] = {
            cell.at(batch=Span(copy * examples, (copy + 1) * examples)): put(self._source[cell])
            for copy, cell in enumerate(cells)
        }
        note(forward=count - 1, partial=count - 1)  # the run itself is counted once, and does the work of so many
        return shares(self._model.run(start.repeated(count), edits), start.output, count)


def shares(value: Any, one: Any, count: int) -> list[Any]:
    """`value`, returned for `count` copies of a batch, as what each copy's own run returns, shaped as `one`.

    Raises SiteError for what cannot be cut so: a share that holds more than its own copy would be wrong, silently.
    """
    foreign = next(strangers(value), None)
    if foreign is not None:
        raise _uncut(f"a {type(foreign).__name__}, which may hold tensors that cannot be cut")
    sizes, expected = [tuple(each.shape) for each in tensors(value)], [tuple(each.shape) for each in tensors(one)]
    if not expected:
        raise _uncut(f"a {type(value).__name__} without tensors")
    if len(sizes) != len(expected) or not all(_copies(*pair, count) for pair in zip(sizes, expected, strict=True)):
        raise _uncut(f"tensors of shapes {sizes}, and for one copy {expected}")
    return [mapped(value, lambda tensor, i=i: _share(tensor, i, count)) for i in range(count)]  # type: ignore[misc]


def _copies(size: tuple[int, ...], one: tuple[int, ...], count: int) -> bool:
    return bool(one) and size == (count * one[0], *one[1:])


def _share(tensor: Tensor, number: int, count: int) -> Tensor:
    size = tensor.shape[0] // count
    return tensor[number * size : (number + 1) * size]


def _uncut(why: str) -> SiteError:
    return SiteError(
        f"for copies of a batch the model returns {why}", hint="run the copies one by one: at_once=1 in a sweep"
    )

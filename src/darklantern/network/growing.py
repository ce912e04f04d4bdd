"""A sequence whose every length stays valid: what a log's states are made of.

In: items. Out: sequences that share what they have in common. Adding one costs the same at any length; a tuple would be
copied each time, and a state is kept for each entry of a log.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

from rpds import HashTrieMap

Item = TypeVar("Item")


class Grown(Sequence[Item]):
    """An immutable sequence with a cheap `plus`."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items: HashTrieMap[int, Item] = HashTrieMap(enumerate(items))

    def plus(self, item: Item) -> "Grown[Item]":
        """This sequence with one more item at its end."""
        grown: Grown[Item] = object.__new__(Grown)  # __init__ would first make a map of nothing
        grown._items = self._items.insert(len(self._items), item)
        return grown

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return (self._items[at] for at in range(len(self._items)))

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, at: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(at, slice):
            return tuple(self._items[each] for each in range(len(self))[at])
        return self._items[range(len(self))[at]]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grown)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{len(self)} items>"

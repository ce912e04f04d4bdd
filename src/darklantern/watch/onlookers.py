"""What is told after each look: views and writers, of which none can harm the training that it tells of."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

from darklantern.errors import DarkLanternError, WatchError, cause_of
from darklantern.watch.viewing import OnLook, View, view

LOG = logging.getLogger("darklantern.watch")


class Onlooker(ABC):
    """Shows or writes what may be shown of a watch, as its `on_look`.

        with dl.live() as shown:
            w = dl.watch(..., on_look=shown)

    The `with` is optional: what is open is closed at the end of the program. One that fails is said once and then
    switched off; training goes on.
    """

    what: str = "the view"
    """what fails, for people"""
    failed: str = ""
    """why it was switched off; empty while it works"""

    @final
    def __call__(self, watch: Any) -> None:
        """Called after each look."""
        if self.failed:
            return
        try:
            self.show(view(watch))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a full disk or a closed pipe must not end a run
            self._switch_off(error)

    @abstractmethod
    def show(self, seen: View) -> None:
        """Show or write what is new in `seen`. May raise anything."""

    def close(self) -> None:
        """Give back what is open; nothing is shown afterwards."""
        self.failed = self.failed or "it was closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _switch_off(self, error: Exception | SystemExit) -> None:
        said = error.message if isinstance(error, DarkLanternError) else f"{type(error).__name__}: {error}"
        self.failed = said
        LOG.warning("%s failed and is switched off; training goes on: %s", self.what, said)
        try:
            self.close()
        except Exception as again:  # noqa: BLE001 - the same reason; what failed once may fail to close
            LOG.debug("%s could not be closed: %s", self.what, again)


class News:
    """What of a watch's looks and events is new since the last call: rollbacks take looks back, events stay."""

    def __init__(self) -> None:
        self._looks = self._events = 0

    def of(self, seen: View) -> tuple[range, range]:
        """Indices of the looks and of the events that are new in `seen`."""
        looks = range(self._looks, seen.looks + seen.undone)
        events = range(self._events, len(seen.events))
        self._looks, self._events = looks.stop, events.stop
        return looks, events


@dataclass(frozen=True)
class Each:
    """Several that are told one after the other, each of them also after one that failed."""

    told: tuple[OnLook, ...] = ()

    def __call__(self, watch: Any) -> None:
        """Raises what one of them raised; WatchError for what several did."""
        failed: list[tuple[OnLook, Exception]] = []
        for one in self.told:
            try:
                one(watch)
            except Exception as error:  # noqa: BLE001 - it is raised below, when the others were told
                failed.append((one, error))
        if len(failed) == 1:
            raise failed[0][1]
        if failed:
            said = "; ".join(f"{getattr(one, '__name__', type(one).__name__)}: {cause_of(why)}" for one, why in failed)
            raise WatchError(
                f"{len(failed)} of {len(self.told)} functions failed: {said}", hint="each is called at each look"
            ) from failed[0][1]


def each_of(on_look: OnLook | Sequence[OnLook]) -> Each:
    """One that tells each of several, one after the other. Raises WatchError for what is no function."""
    each = tuple(on_look) if isinstance(on_look, Sequence) else (on_look,)
    if not all(map(callable, each)):
        raise WatchError(
            f"on_look: expected a function of the watch, or several, got {on_look!r}",
            hint="dl.live(), or lambda watch: ...; leave it out to be shown nothing",
        )
    if makers := [maker for maker in each if _makes_onlooker(maker)]:
        name = getattr(makers[0], "__name__", "")
        raise WatchError(f"on_look: {name} makes a view, and is none itself", hint=f"call it: on_look={name}(...)")
    return Each(tuple(told for one in each for told in (one.told if isinstance(one, Each) else (one,))))


def _makes_onlooker(given: Any) -> bool:
    """Whether it is a kind of view, or a function that returns one: called by a look, it would show nothing."""
    made = given if isinstance(given, type) else getattr(given, "__annotations__", {}).get("return")
    return isinstance(made, type) and issubclass(made, Onlooker)

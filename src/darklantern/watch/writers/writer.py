"""What all writers share: which numbers of a look have which names, and what is new."""

from abc import abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, final

from darklantern.drawing.lettering import harmless
from darklantern.errors import MissingExtraError
from darklantern.records.findings import Event
from darklantern.watch.onlookers import News, Onlooker
from darklantern.watch.viewing import View


class Writer(Onlooker):
    """Writes each new look, and each new event."""

    def __init__(self) -> None:
        self._news = News()

    @final
    def show(self, seen: View) -> None:
        looks, events = self._news.of(seen)
        for look in looks:
            if seen.signals:
                self.look(seen.signals[0].steps[look], numbers(seen, look))
        for at in events:
            self.event(seen.events[at])
        self.flush()

    @abstractmethod
    def look(self, step: int, values: Mapping[str, float]) -> None:
        """Write one look. After a rollback steps come again."""

    @abstractmethod
    def event(self, event: Event) -> None:
        """Write one event: an alarm, or what was done about it. Its text may be a peer's."""

    def flush(self) -> None:
        """Have what was written reach its place."""


def numbers(seen: View, look: int) -> dict[str, float]:
    """`watch/<signal>/value` and so on, at one look, and what looks cost so far; no statistic that says nothing yet."""
    found: dict[str, float] = {}
    for each in seen.signals:
        name = f"watch/{plain(each.name)}"
        found[f"{name}/value"] = each.readings[look].value
        found[f"{name}/placebo"] = each.readings[look].placebo
        if each.judged(look):
            found[f"{name}/statistic"] = each.statistic[look]
        if each.threshold is not None:
            found[f"{name}/threshold"] = each.threshold.value
    if seen.costs is not None and seen.costs.overhead is not None:
        found["watch/cost/share of training time"] = seen.costs.overhead
    return found


def plain(name: str) -> str:
    """A signal's name with what every tool takes in names: letters, figures, spaces, points, dashes, underscores."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in " ._-") else "_" for c in name)
    return kept.strip() or "_"


def told(event: Event) -> str:
    """An event as a line of text."""
    return harmless(f"step {event.step}, {event.label}: {event.text.removeprefix(f'step {event.step}: ')}")


def loaded(module: str, package: str, what: str) -> Any:
    """A tool's module. Raises MissingExtraError where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{what} is not installed: {error}", hint=f"pip install {package}, or leave this writer out"
        ) from error

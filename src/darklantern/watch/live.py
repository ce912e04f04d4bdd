"""A watch on the terminal while it runs: a panel that is drawn anew after each look, or one line a look elsewhere."""

import atexit
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live as Region
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from darklantern.counted import counted
from darklantern.drawing.lettering import harmless
from darklantern.drawing.scales import number
from darklantern.records.findings import Event
from darklantern.watch.onlookers import News, Onlooker
from darklantern.watch.viewing import Costs, SignalView, View

BLOCKS = "▁▂▃▄▅▆▇█"
LOOKS = 24
"""newest looks of which a sparkline is made"""
ALARMS = 3
"""newest alarms in the panel"""
_INSIDE = {"signal": "inside", "behaviour": "behaviour"}
_QUIET = ("uncalibrated",)
"""labels of events that the panel says in another way"""


class SteadyConsole(Console):
    """A console that does not end the program when nobody reads its output any more, as Rich's own does."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("nobody reads the output any more")


class Live(Onlooker):
    """A panel on a terminal, one line a look elsewhere. `live` makes it."""

    what = "the live view"

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or SteadyConsole()
        self._region: Region | None = None
        self._news = News()

    def show(self, seen: View) -> None:
        looks, events = self._news.of(seen)
        if not self._console.is_terminal:
            for line in lines(seen, looks, [seen.events[at] for at in events]):
                self._console.print(Text(line), soft_wrap=True, highlight=False)
            return
        if self._region is None:
            self._region = Region(console=self._console, auto_refresh=False)
            self._region.start()
            atexit.register(self.close)
        self._region.update(panel(seen), refresh=True)
        if seen.stopped:
            self.close()

    def close(self) -> None:
        """Leave the panel as it is and give the terminal back."""
        region, self._region = self._region, None
        if region is not None:
            atexit.unregister(self.close)
            region.stop()
        super().close()


def live(console: Console | None = None) -> Live:
    """A live view, for `dl.watch(..., on_look=dl.live())`.

    On a terminal a panel: step, cadence, what looks cost, each signal's curve against its threshold, its value and
    its placebo, and alarms with what was done. Elsewhere one line a look. Costs some milliseconds a look. A view that
    fails is said once and switched off; training goes on.
    """
    return Live(console)


def panel(seen: View) -> RenderableType:
    """The watch as a panel; names and texts in it are never read as markup."""
    table = Table(box=None, padding=(0, 1), expand=True, header_style="dim", pad_edge=False)
    table.add_column("signal", ratio=1, no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column("tier", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("statistic", no_wrap=True)
    table.add_column("now / alarm", justify="right", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("placebo", justify="right", no_wrap=True)
    for each in seen.signals:
        table.add_row(*_row(each))
    parts: list[RenderableType] = [table]
    if seen.held_out:
        parts.append(Text(f"and {counted(seen.held_out, 'held-out monitor')}, not shown", style="dim"))
    if seen.uncalibrated:
        parts.append(Text(f"uncalibrated: {harmless(seen.uncalibrated)}", style="yellow"))
    if seen.unjudged:
        parts.append(Text(harmless(seen.unjudged), style="yellow"))
    loud = [event for event in seen.events if event.label not in _QUIET][-2 * ALARMS :]
    parts += [_told(event, seen) for event in loud]
    return Panel(
        Group(*parts), title=Text(_heading(seen)), title_align="left", border_style="red" if seen.alarms else "dim"
    )


def lines(seen: View, looks: Sequence[int], events: Sequence[Event]) -> list[str]:
    """One line for each new look, and one for each new event."""
    found = [f"step {event.step:,}, {event.label}: {_text(event, seen)}" for event in events]
    for look in looks:
        step = seen.signals[0].steps[look] if seen.signals else seen.step
        inside = [each for each in seen.signals if each.signal.role == "signal"]
        stand = ", ".join(f"{each.name} {_against(each, look)}" for each in inside if each.judged(look))
        waiting = [each for each in inside if not each.judged(look)]
        if waiting:
            called = "nothing is" if not stand else f"{', '.join(each.name for each in waiting)} not"
            stand += f"{', ' if stand else ''}{called} judged before look {min(each.judged_from for each in waiting)}"
        found.append(f"step {step:,}: {stand or 'looked'}; {_cost(seen.costs)}")
    return [harmless(line) for line in found]


def sparkline(values: Sequence[float], limit: float | None) -> str:
    """The newest values as blocks, the full block being the threshold: `▁▂▅█`."""
    newest = values[-LOOKS:]
    top = limit if limit is not None and limit > 0 else max([*newest, 0.0])
    if not top > 0:
        return BLOCKS[0] * len(newest)
    return "".join(BLOCKS[min(len(BLOCKS) - 1, max(0, int(value / top * (len(BLOCKS) - 1))))] for value in newest)


def curve(each: SignalView) -> str:
    """Its newest looks as blocks; blanks where the statistic says nothing yet."""
    blocks = sparkline(each.statistic, None if each.threshold is None else each.threshold.value)
    first = len(each.statistic) - len(blocks)
    return "".join(block if each.judged(first + at) else " " for at, block in enumerate(blocks))


def _row(each: SignalView) -> list[Text]:
    over = each.threshold is not None and bool(each.statistic) and each.statistic[-1] > each.threshold.value
    style = "bold red" if over else ""
    newest = each.readings[-1] if each.readings else None
    return [
        Text(harmless(each.name), style=style),
        Text(each.signal.tier, style="dim"),
        Text(_INSIDE[each.signal.role], style="dim"),
        Text(curve(each), style=style or "cyan"),
        Text(_against(each, -1), style=style),
        Text("–" if newest is None else number(newest.value)),
        Text("–" if newest is None else number(newest.placebo), style="dim"),
    ]


def _against(each: SignalView, look: int) -> str:
    limit = "–" if each.threshold is None else f"{each.threshold.value:.1f}"
    return f"{f'{each.statistic[look]:.1f}' if each.judged(look) else '–'} / {limit}"


def _told(event: Event, seen: View) -> Text:
    style = "bold red" if event.label == "alarm" else "bold"
    return Text.assemble((f"{harmless(event.label)} at {event.step:,} ", style), harmless(_text(event, seen)))


def _text(event: Event, seen: View) -> str:
    if event.label != "alarm" and event.text in seen.alarms:
        return "for that alarm"  # a pause says again what it is for, which stands right above
    return event.text.removeprefix(f"step {event.step}: ")


def _heading(seen: View) -> str:
    undone = f", {seen.undone} undone" if seen.undone else ""
    every = "" if seen.costs is None or seen.costs.every is None else f" · every {seen.costs.every:,} steps"
    over = " · stopped" if seen.stopped else ""
    return f"watch · step {seen.step:,} · {counted(seen.looks, 'look')}{undone}{every} · {_cost(seen.costs)}{over}"


def _cost(costs: Costs | None) -> str:
    if costs is None:
        return "after the fact"
    spent = "not measured yet" if costs.overhead is None else f"{costs.overhead:.1%}"
    return f"costs {spent}" if costs.budget is None else f"costs {spent}, budget {costs.budget:.1%}"

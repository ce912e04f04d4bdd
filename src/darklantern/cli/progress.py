"""A demo as it happens: a step bar with the signals' values on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from darklantern.cli.output import tell
from darklantern.watch import Alarm, Watch

EVERY = 100
"""steps between lines where there is no terminal"""


class TerminalProgress:
    """Implements `demo.race.Progress` on a Rich console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._values = ""
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[now]}", markup=False),
            console=console,
        )

    def __enter__(self) -> "TerminalProgress":
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()

    def training(self, run: str, step: int, of: int, loss: float) -> None:
        """One update is done."""
        if run not in self._tasks:
            self._tasks[run] = self._bar.add_task(run, total=of, now="")
            self._values = ""
        self._bar.update(self._tasks[run], completed=step, now=f"{loss:.2f} nats  {self._values}")
        if not self._live and step % EVERY == 0:
            self.say(f"{run}: step {step} of {of}, loss {loss:.2f} nats")

    def look(self, run: str, watch: Watch) -> None:
        """The watch has looked."""
        self._values = " ".join(
            f"{name.split()[-1]} {track.statistic[-1]:+.1f}"
            for name, track in watch.trace.shown.items()
            if track.signal.role == "signal"
        )

    def alarm(self, run: str, alarm: Alarm) -> None:
        """The watch has raised an alarm."""
        tell(f"{run}, {alarm}", lead="ALARM ", style="bold red", console=self._console)

    def say(self, line: str) -> None:
        """A stage is reached."""
        tell(line, console=self._console)


class NoProgress:
    """Implements `demo.race.Progress` in silence."""

    def training(self, run: str, step: int, of: int, loss: float) -> None:
        """Nothing."""

    def look(self, run: str, watch: Watch) -> None:
        """Nothing."""

    def alarm(self, run: str, alarm: Alarm) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

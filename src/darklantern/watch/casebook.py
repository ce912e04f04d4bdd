"""What is made out and put down about alarms: investigations before the reaction, the finding after it.

In: an alarm of a watch. Out: what investigations found, findings. All of it is the user's own code, or for the user
alone, so what fails here is said, and the reaction comes anyway.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from darklantern.errors import cause_of
from darklantern.watch.alarms import Alarm
from darklantern.watch.filing import Filed, Filer, Taken
from darklantern.watch.inquiring import Case, Investigated, Investigation, inquire, named


class Casebook:
    """The alarms of one watch as cases."""

    def __init__(self, watch: Any, filer: Filer, investigations: Sequence[Investigation]) -> None:
        self.investigated: list[tuple[Alarm, list[Investigated]]] = []
        self.findings: list[Filed] = []
        self.filer = filer
        self._watch = watch
        self._investigations = named(investigations)

    @contextmanager
    def on(self, alarm: Alarm, spans: Any) -> Iterator[None]:
        """Around the reaction: what it may change is taken and looked into before, what it came to is filed after.

        `spans` are those counted in what was trained on, None where none are.
        """
        taken = self._take(alarm, spans)
        if self._investigations:
            case = Case(self.filer.tap.opened, self.filer.trusted, alarm, self.filer.seed)
            with self.filer.tap.aside():
                found = inquire(self._investigations, case, self._watch.say)
            self.investigated.append((alarm, found))
        try:
            yield
        finally:
            if taken is not None:
                self._file(taken)

    def _take(self, alarm: Alarm, spans: Any) -> Taken | None:
        """What a finding needs from before the reaction."""
        try:
            return self.filer.take(self._watch, alarm, spans)
        except Exception as error:  # noqa: BLE001 - the weights' writer is the user's: the reaction must come anyway
            self._not_filed(alarm, error)
            return None

    def _file(self, taken: Taken) -> None:
        """Hand over the finding. A keeper that fails is said: the finding stays in `findings`, the loop goes on."""
        try:
            filed = self.filer.file(self._watch, taken)
            self.findings.append(filed)
            if self.filer.filing is not None and self.filer.tap.ranks.rank == 0:
                self.filer.filing.keep(filed)
        except Exception as error:  # noqa: BLE001 - a keeper is the user's: a full library must not end the run
            self._not_filed(taken.alarm, error)

    def _not_filed(self, alarm: Alarm, error: Exception) -> None:
        why = cause_of(error)
        self._watch.say("not filed", f"the finding of the alarm at step {alarm.step}: {why}")

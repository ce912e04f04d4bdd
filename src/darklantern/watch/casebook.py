"""What is made out and put down about alarms: investigations before the reaction, the finding after it.

In: an alarm of a watch. Out: what investigations found, findings. All of it is the user's own code, or for the user
alone, so what fails here is said, and the reaction comes anyway.
"""

from collections.abc import Sequence
from typing import Any

from darklantern.errors import cause_of
from darklantern.watch.alarms import Alarm
from darklantern.watch.beside import Beside
from darklantern.watch.filing import Filed, Filer, Taken
from darklantern.watch.inquiring import Case, Investigated, Investigation, inquire, named
from darklantern.watch.underway import Underway


class Casebook:
    """The alarms of one watch as cases."""

    def __init__(self, watch: Any, filer: Filer, investigations: Sequence[Investigation], beside: Beside) -> None:
        self.investigated: list[tuple[Alarm, list[Investigated]]] = []
        self.findings: list[Filed] = []
        self.filer = filer
        self._watch, self._beside = watch, beside
        self._investigations = named(investigations)

    def look_into(self, underway: Underway, spans: Any) -> None:
        """Before the reaction: take what it may change, and investigate.

        `spans` are those counted in what was trained on, None where none are.
        """
        if underway.inquiries is None:
            underway.taken = self._take(underway.alarm, spans)
            if self._investigations:
                self.investigated.append((underway.alarm, underway.found))
            underway.inquiries = list(self._investigations)
        if underway.inquiries:
            case = Case(self.filer.tap.opened, self.filer.trusted, underway.alarm, self.filer.seed)
            with self._beside("an investigation"):
                inquire(underway.inquiries, case, self._watch.say, underway.found)

    def file(self, underway: Underway) -> None:
        """After the reaction: hand over the finding of what it came to, once, also where that is cut off."""
        taken, underway.taken = underway.taken, None
        if taken is not None:
            self._file(taken)

    def _take(self, alarm: Alarm, spans: Any) -> Taken | None:
        """What a finding needs from before the reaction."""
        try:
            with self._beside("on_finding"):
                return self.filer.take(self._watch, alarm, spans)
        except Exception as error:  # noqa: BLE001 - the weights' writer is the user's: the reaction must come anyway
            self._not_filed(alarm, cause_of(error))
            return None

    def _file(self, taken: Taken) -> None:
        """Hand over the finding. A keeper that fails is said: the finding stays in `findings`, the loop goes on."""
        try:
            with self._beside("on_finding"):
                filed = self.filer.file(self._watch, taken)
                self.findings.append(filed)
                if self.filer.filing is not None and self.filer.tap.ranks.rank == 0:
                    self.filer.filing.keep(filed)
        except Exception as error:  # noqa: BLE001 - a keeper is the user's: a full library must not end the run
            self._not_filed(taken.alarm, cause_of(error))
        except BaseException:
            self._not_filed(taken.alarm, "it was cut off, and is not filed again; darklantern.watch.finding makes it")
            raise

    def _not_filed(self, alarm: Alarm, why: str) -> None:
        self._watch.say("not filed", f"the finding of the alarm at step {alarm.step}: {why}")

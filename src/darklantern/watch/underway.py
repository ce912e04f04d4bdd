"""What follows one alarm, and how far it has come: what was cut off, by Ctrl-C for instance, is finished from there."""

from dataclasses import dataclass, field
from pathlib import Path

from darklantern.watch.alarms import Alarm
from darklantern.watch.filing import Taken
from darklantern.watch.inquiring import Investigated, Investigation
from darklantern.watch.keeping import Kept
from darklantern.watch.reactions import Chosen, Reaction


@dataclass
class Underway:
    """The answer to one alarm. Whatever is done is noted down here before what comes next."""

    alarm: Alarm
    held: Kept | None
    """the state at the alarm"""
    rollbacks: int
    """of the run before it"""
    taken: Taken | None = None
    """for its finding, until that is filed"""
    inquiries: list[tuple[str, Investigation]] | None = None
    """still to be run; None before the first"""
    found: list[Investigated] = field(default_factory=list)
    heard: list[Chosen | Exception] = field(default_factory=list)
    """what on_alarm's reactions and functions said, in their order"""
    left: list[Chosen] | None = None
    """what is still to be done; None until it is known what was asked for"""
    paths: dict[str, Path] | None = None
    """tag of a state → its file, once a checkpoint was begun"""
    failures: list[tuple[str, Exception]] = field(default_factory=list)
    """what of it failed, until that was said"""
    reaction: Reaction | None = None
    """what the loop is to do, once all was done"""

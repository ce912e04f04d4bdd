"""What a watch does, apart from its probes."""

from dataclasses import dataclass
from typing import Final, Literal

from darklantern.errors import WatchError
from darklantern.watch.arguments import FLAG, NOTHING, SHARE, Kind, taken, whole


@dataclass(frozen=True)
class Settings:
    """What a watch does, apart from its probes. A calibration holds for one `every` and `history`."""

    every: int | None = None
    """steps between looks; None for those of the references or, without any, as many as the budget takes"""
    margin: int = 2
    """looks to go back beyond the last quiet one"""
    quiet: float = 0.4
    """share of a threshold up to which what is held against it counts as not yet rising; a CUSUM rises from 0 on"""
    history: int = 16
    """looks whose rows are kept, to name what stands out at an alarm"""
    states: int = 4
    """training states kept in memory, besides one that is known to be clean. A state is known for clean `margin` looks
    after it was taken: with fewer states than that there never is one to go back to"""
    rollbacks: int = 3
    """after so many, an alarm stops the loop"""
    cooldown: int = 10
    """looks after an alarm before another may come, which then stands for a new rise. One that claims a circuit does
    not wait for one that claims novelty alone"""
    on_failure: Literal["pause", "go on", "raise"] = "pause"
    """when a look, keeping a state, a function in `on_alarm` or a reaction fails: wait for a person, or raise where
    nobody can be asked; go on, said each time; raise. Before the first step it always raises, and a rollback that fails
    always ends the loop"""

    held_out_screens: bool = False
    """whether what stands out in the rows at a held-out monitor's alarm may be told in clear: in the alarm, the log,
    the report, findings, and as a trainer's screen.json"""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            object.__setattr__(self, name, taken(f"settings.{name}", getattr(self, name), kind, _HINT))
        if self.history < self.margin:  # a margin beyond the history would name no span at an alarm
            raise WatchError(
                f"settings.history: expected a whole number ≥ margin, got {self.history} and {self.margin}", hint=_HINT
            )


_ON_FAILURE: Final = frozenset({"pause", "go on", "raise"})
_HINT: Final = "Settings() are a good start"
_KINDS: Final = {
    "every": whole(1) | NOTHING,
    "margin": whole(0),
    "quiet": SHARE,
    "history": whole(1),
    "states": whole(1),
    "rollbacks": whole(0),
    "cooldown": whole(1),
    "on_failure": Kind("'pause', 'go on' or 'raise'", lambda value: isinstance(value, str) and value in _ON_FAILURE),
    "held_out_screens": FLAG,
}

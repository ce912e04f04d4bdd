"""What a watch put out of action in a model, until it is lifted: always, or only while a batch is trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darklantern.watch import agreeing
from darklantern.watch.attach.tap import Tap
from darklantern.watch.gate import Gate
from darklantern.watch.reactions import Ablate


@dataclass(frozen=True)
class _Ablated:
    """Edits that are in place until their handle is closed."""

    handle: Any
    sites: str
    preventative: bool

    def __str__(self) -> str:
        return f"{self.sites}{', while a batch is trained on' * self.preventative}"


class Ablations:
    """Those of one run."""

    def __init__(self, tap: Tap, say: Callable[[str, str], None]) -> None:
        self._tap, self._say = tap, say
        self.training = Gate()
        """open while a batch is trained on"""
        self._in_place: dict[frozenset[str], _Ablated] = {}
        """by their sites"""
        self._standing_said = ""

    def put(self, asked: Ablate) -> None:
        """Ablate what is `asked`, in place of what was at the very same sites: what is added would be added twice.

        Where it cannot be on every rank, it is on none, and what was in place stays: raises what failed.
        """
        edits = self.training.edits(asked.edits) if asked.preventative else asked.edits
        made: list[Any] = []
        try:
            # Beside the earlier one, which goes only once all have the new one: nothing then is left to fail.
            agreeing.together(self._tap.ranks, lambda: made.append(self._tap.ablate(edits)), "the ablation")
        except BaseException:
            for handle in made:
                handle.close()
            raise
        sites = frozenset(map(str, asked.edits))
        before = self._in_place.pop(sites, None)
        self._in_place[sites] = new = _Ablated(made[0], ", ".join(map(str, asked.edits)), asked.preventative)
        if before is not None:
            before.handle.close()
        self._say("ablate", str(new))

    def lift(self) -> str:
        """Ablations end: the model computes what its weights say. What was in place; empty where nothing was."""
        lifted = "; ".join(map(str, self._in_place.values()))
        for each in self._in_place.values():
            each.handle.close()
        self._in_place.clear()
        self._standing_said = ""
        return lifted

    def say_standing(self) -> None:
        """Of a loop that is over: what it leaves in the model, said once."""
        standing = "; ".join(str(each) for each in self._in_place.values() if not each.preventative)
        if standing and standing != self._standing_said:
            self._say(
                "ablated",
                f"the model still has edits in place at {standing}: watch.lift() takes them out, as watch.close() does",
            )
        self._standing_said = standing

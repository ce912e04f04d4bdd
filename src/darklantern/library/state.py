"""What a library knows, as one frozen value.

Nothing here makes a step: `outbox`, `keeping` and the rest of this room do, and the desk writes the difference
between two states.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from darklantern.errors import RefusedError
from darklantern.library import restored
from darklantern.library.logs import Logs
from darklantern.library.own import Own
from darklantern.library.threads.places import LocalThreads
from darklantern.network.circles import Terms, check_closed, check_terms
from darklantern.network.clock import now as judged_now
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.retaining import living
from darklantern.network.view import View
from darklantern.sealing import Device, LogKey
from darklantern.stores.values import Waiting

LEFT: Final = "left"
"""The setting that lists what may have left the outbox."""


@dataclass(frozen=True, repr=False)
class State:
    """Everything that a library knows. Secret: it does not print."""

    device: Device
    log_key: LogKey | None
    """present where this library keeps logs: it appends for all"""
    logs: Logs
    keyring: Keyring = field(default_factory=Keyring)
    threads: LocalThreads = field(default_factory=LocalThreads)
    settings: Mapping[str, str] = field(default_factory=dict)
    """what this device's user has chosen, and what it must remember besides"""
    own: Own = field(default_factory=Own)

    @cached_property
    def device_id(self) -> str:
        """This device, as others name it."""
        return self.device.public.id

    @cached_property
    def owners(self) -> Mapping[str, tuple[str, str]]:
        """Device → (org, person), for every device that a manifest ever listed."""
        return {id: standing.owner for id, standing in self.working.network.devices.items()}

    @property
    def view(self) -> View:
        """What the logs say, without what waits in the outbox."""
        return self.logs.view

    @property
    def working(self) -> View:
        """The view with what waits for circles' logs: its author already builds on it."""
        return self.logs.ahead.circles

    @property
    def entries(self) -> Mapping[str, tuple[bytes, ...]]:
        """Log → envelopes in order."""
        return self.logs.entries

    @property
    def outbox(self) -> tuple[Waiting, ...]:
        """What waits for a relay, or another library, to append it."""
        return self.logs.outbox

    @property
    def overtaken(self) -> Mapping[str, str]:
        """Id in the outbox → why this own record cannot count any more as it is."""
        return self.logs.overtaken

    @property
    def left(self) -> frozenset[str]:
        """Ids in the outbox of records that others may hold by now: none of these may be replaced."""
        return frozenset(self.settings.get(LEFT, "").split())

    @cached_property
    def wanted(self) -> Mapping[str, str]:
        """Piece → log, for every piece that an entry which counts names. Of 100,000 entries it takes 0.2 s, once."""
        return pieces_of(self.working, self.keyring.forgotten)

    @cached_property
    def kept(self) -> frozenset[str]:
        """The logs that this library appends to."""
        logs = (self.view.net, *self.view.circles)
        return frozenset(log for log in logs if self.log_key and self.view.log_key(log) == self.log_key.public)

    def waits(self, log: str) -> str | None:
        """Why nothing may be signed in a log yet, or None: only a library that came from a backup has to wait."""
        return restored.waits(self.view, self.entries, self.settings, self.kept, log)

    @property
    def appends(self) -> frozenset[str]:
        """The logs that this library keeps and may append to now."""
        return frozenset(log for log in self.kept if self.waits(log) is None)

    def now(self, clock: int) -> int:
        """The time to judge by."""
        return judged_now(clock, self.view.floor)

    def terms(self, circle: str) -> Terms:
        """What only members know of the circle. Raises RefusedError where they are not known, or not understood.

        Terms come with an epoch as well as from a founder, and a quorum, or a newer version, may have agreed on
        some that this version cannot keep: then it neither seals nor opens.
        """
        if circle not in self.keyring.terms:
            raise RefusedError(
                f"the terms of circle {circle[:8]}… are not known here, and an unknown level or tag means nobody",
                hint="whoever founded the circle adds its terms; others learn them with their first epoch",
            )
        terms = self.keyring.terms[circle]
        check_terms(terms)
        check_closed(self.view.rules(circle), terms)
        return terms

    def name_of(self, log: str) -> str:
        """What a log is called here: only members know a circle's name."""
        if log == self.view.net:
            return "the network"
        terms = self.keyring.terms.get(log)
        return f"circle {terms.name}" if terms else f"circle {log[:8]}…"

    def is_own(self, waiting: Waiting) -> bool:
        """Whether this device wrote it; several write a roster, and whoever has it hands it in."""
        return self.logs.is_own(waiting)

    def last(self, log: str) -> tuple[int, str] | None:
        """(seq, id) of this device's last record in a log, waiting ones included."""
        return self.logs.last(log)

    def with_logs(self, **changes: Any) -> "State":
        """The state with other values in these fields of its logs."""
        return replace(self, logs=replace(self.logs, **changes))


def pieces_of(view: View, forgotten: Collection[str] = ()) -> dict[str, str]:
    """Piece → log, for every piece that lives, but for those that only entries of `forgotten` epochs need."""
    return {name: circle.id for circle in view.circles.values() for name in living(circle, forgotten)}


def unlocked(state: State) -> State:
    """The state with every seed within this device's reach, also of what still waits for the keeper of its log."""
    keyring = unlock(state.working, state.device_id, state.device.receiving, state.keyring)
    return replace(state, keyring=keyring)


def with_setting(state: State, name: str, value: str) -> State:
    """The state that remembers `value` under `name`."""
    return replace(state, settings={**state.settings, name: value})

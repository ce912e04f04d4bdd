"""No key has two roles: what is signed, or sealed, for one role must never be of use in another.

In: the state, a role, and keys that are about to take it. Out: nothing, or RefusedError.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from darklantern.errors import RefusedError
from darklantern.network.circles import Circle
from darklantern.network.rosters import Roster
from darklantern.network.states import NetworkState, Role
from darklantern.sealing import LogVerifyKey


def check_role(state: NetworkState, role: Role, parts: Iterable[object]) -> None:
    """Raises RefusedError when a part of a key that takes `role` is in another one already."""
    if any(state.roles.get(part, role) != role for part in parts):
        raise RefusedError(
            f"a key that takes the role of {role} key has another role already",
            hint="make a new key for each role; no key is ever used for two",
        )


def taking(state: NetworkState, role: Role, parts: Iterable[object]) -> NetworkState:
    """The state in which these parts of keys have this role, for good."""
    return replace(state, roles=reduce(lambda roles, part: roles.insert(part, role), parts, state.roles))


def log_parts(key: LogVerifyKey) -> tuple[bytes, ...]:
    """Each algorithm's part of a log's key."""
    return key.ed25519, key.mldsa44


def log_keys(roster: Roster) -> tuple[LogVerifyKey, ...]:
    """The keys that sign logs, as far as the roster names them."""
    relays = (relay.card.public.log for relay in roster.relays)
    return (roster.log, *relays, *((roster.moving,) if roster.moving else ()))


def circle_parts(circle: Circle) -> tuple[bytes, ...]:
    """Each part of the keys that a circle names for its log."""
    return (*log_parts(circle.log), *(log_parts(circle.moving) if circle.moving else ()))

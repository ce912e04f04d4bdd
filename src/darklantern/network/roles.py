"""No key has two roles: what is signed, or sealed, for one role must never be of use in another.

In: the state, a role, and keys that are about to take it. Out: nothing, or RefusedError.
"""

from collections.abc import Iterable
from typing import Literal

from darklantern.errors import RefusedError
from darklantern.network.manifests import device_parts
from darklantern.network.rosters import Roster, relay_parts, root_parts
from darklantern.network.states import NetworkState
from darklantern.sealing import LogVerifyKey

Role = Literal["root", "log", "relay", "device"]


def check_role(state: NetworkState, role: Role, parts: Iterable[object]) -> None:
    """Raises RefusedError when a part of a key that takes `role` is in another one already."""
    if not _held(state, role).isdisjoint(parts):
        raise RefusedError(
            f"a key that takes the role of {role} key has another role already",
            hint="make a new key for each role; no key is ever used for two",
        )


def log_parts(key: LogVerifyKey) -> tuple[bytes, ...]:
    """Each algorithm's part of a log's key."""
    return key.ed25519, key.mldsa44


def log_keys(roster: Roster) -> tuple[LogVerifyKey, ...]:
    """The keys that sign logs, as far as the roster names them."""
    return roster.log, *(relay.card.public.log for relay in roster.relays)


def _held(state: NetworkState, besides: Role) -> frozenset[object]:
    """Every part of a key in another role than `besides`."""
    held: dict[Role, set[object]] = {
        "root": {part for version in state.rosters for part in root_parts(version.body)},
        "relay": {part for version in state.rosters for part in relay_parts(version.body)},
        "log": {part for version in state.rosters for key in log_keys(version.body) for part in log_parts(key)}
        | {part for versions in state.circles.values() for each in versions for part in log_parts(each.body.log)},
        "device": {part for standing in state.devices.values() for part in device_parts(standing.device)},
    }
    return frozenset().union(*(parts for role, parts in held.items() if role != besides))

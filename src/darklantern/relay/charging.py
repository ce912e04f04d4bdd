"""What is counted against whom: bytes that are kept against orgs, those of mirrored logs against the peer that they
came from, bytes that were sent against devices, day by day.

In: who brought how much. Out: charges, which the database takes or refuses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from darklantern.relay.stores import Charge

_DAY_S: Final = 24 * 3600


def device_account(device: str) -> str:
    """What a device sends in a day."""
    return f"device:{device}"


@dataclass(frozen=True)
class Quotas:
    """The limits of accounts."""

    org_bytes: int
    peer_bytes: int
    device_bytes_a_day: int
    clock: Callable[[], float]

    def kept(self, account: str, size: int) -> Charge:
        """For bytes that stay until they are dropped."""
        return Charge(account, size, self.org_bytes)

    def mirrored(self, peer: str, size: int) -> Charge:
        """For a peer's blobs that stay here: those of all orgs together."""
        return Charge(f"peer:{peer}", size, self.peer_bytes)

    def sent(self, device: str, size: int) -> Charge:
        """For bytes that came today, whatever became of them."""
        return Charge(device_account(device), size, self.device_bytes_a_day, int(self.clock()) // _DAY_S)

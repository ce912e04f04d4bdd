"""Who may read a log, and who may write: decided from the folded logs alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from darklantern.network.view import View


@dataclass(frozen=True)
class Asker:
    """Who asks: a device of the network, or another relay."""

    id: str
    org: str
    """of the device; the name of the relay"""
    person: str = ""
    is_peer: bool = False

    @property
    def account(self) -> str:
        """Who pays for what they bring."""
        return f"{'peer' if self.is_peer else 'org'}:{self.org}"


def device_asker(view: View, device: str) -> Asker | None:
    """The device as one who may ask at all, or None."""
    if not view.network.is_active(device):
        return None
    return Asker(device, *view.network.devices[device].owner)


def may_read(view: View, log: str, asker: Asker) -> bool:
    """Every device of the network reads its log; a circle's is for devices of whom it admits. Relays mirror all.

    Not only for members: a newcomer must see the circle before it pledges, and nothing in a log opens without keys.
    Who was removed sees no more of it.
    """
    if asker.is_peer or log == view.net:
        return True
    return view.network.lets_in(log, (asker.org, asker.person), asker.id)


def readable(view: View, logs: Iterable[str], asker: Asker) -> tuple[str, ...]:
    """Those of `logs` that it may read, sorted."""
    return tuple(sorted(log for log in logs if may_read(view, log, asker)))

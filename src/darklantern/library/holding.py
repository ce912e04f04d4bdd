"""What every half of a library rests on: the state that is held, and the one step by which it changes.

In: a state. Out: the same, or RefusedError where a call needs a network and there is none yet.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from darklantern.library import joining
from darklantern.library.state import State
from darklantern.network.view import View
from darklantern.sealing import DevicePublic


class Holding(ABC):
    """Base of the halves of `Library`."""

    _held: State

    @property
    def _state(self) -> State:
        """What is held, for all that needs a network. Raises RefusedError where there is none."""
        if not joining.is_joined(self._held):
            raise joining.not_joined()
        return self._held

    @_state.setter
    def _state(self, state: State) -> None:
        self._held = state

    @abstractmethod
    def _step(self, state: State, pieces: Mapping[str, bytes] | None = None) -> None:
        """Write what is new in `state`, and then hold it."""

    @abstractmethod
    def _circle(self, circle: str) -> str:
        """The id of a circle named by its id or its name."""

    @abstractmethod
    def _time(self) -> int:
        """What the clock says."""

    def _now(self) -> int:
        """The time to judge by."""
        return self._held.now(self._time())

    @property
    def device(self) -> DevicePublic:
        """What others may know of this device. Its org's manifest must list it."""
        return self._held.device.public

    @property
    def net(self) -> str:
        """The network: the id of its first roster's envelope. Raises RefusedError where there is none."""
        return self._state.view.net

    @property
    def view(self) -> View:
        """What the logs say, without what waits in the outbox."""
        return self._state.view

"""Panels of raters: what they do about an item, sealed and signed like every word about it.

In: calls. Out: acts and ids. A first-round rating stays on this device, sealed, until it is revealed.
"""

from contextlib import suppress
from typing import final

from darklantern.errors import StoreError
from darklantern.library import panels, sharing
from darklantern.library.desk import Desk
from darklantern.library.panels import Acts
from darklantern.library.state import State
from darklantern.library.threads.posting import destination
from darklantern.records.ratings import Act, Person, RatedAgain, Rating


@final
class Panels:
    """Who may know an item, as several people see it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def me(self) -> Person:
        """Who speaks here. Raises RefusedError for a device that no manifest lists."""
        return panels.me(self._desk.state)

    def acts(self, item: str) -> Acts:
        """All that panels did about an item, in the order of the log. `darklantern.assess.panels.panel` judges them.

        Raises RefusedError for an item that is not here.
        """
        return panels.acts(self._desk.state, item, self._desk.fetch)

    def act(self, item: str, act: Act) -> str:
        """Seal an act into the item's circle: open a panel, vote, close, second, adjudicate, override. Its id.

        It counts if the rules say so; they are everybody's. Raises RefusedError.
        """
        return self._say(self._desk.state, item, act)

    def commit(self, item: str, panel: str, rating: Rating) -> str:
        """Commit to a first-round rating, which stays on this device until `reveal`. The commitment's id.

        Both are written in one step, so that no crash leaves a commitment without its rating. Raises RefusedError where
        this person has committed already, on whichever device.
        """
        state, made = panels.committed(self._desk.state, panel, rating, self.acts(item).done)
        return self._say(state, item, made)

    def reveal(self, item: str, panel: str) -> str:
        """Show what this device committed to. The act's id.

        Raises RefusedError as long as others may commit, who would see it: nothing is sent then.
        """
        desk = self._desk
        return self._say(desk.state, item, panels.revealed(desk.state, panel, self.acts(item).done, desk.now()))

    def rate_again(self, item: str, panel: str, rating: Rating) -> str:
        """Rate in the second round. The act's id. Raises RefusedError."""
        return self._say(self._desk.state, item, RatedAgain(panel=panel, rating=rating))

    def _say(self, state: State, item: str, act: Act) -> str:
        desk = self._desk
        to = destination(state, item, desk.fetch, desk.follows)
        sealed, entry, pieces = sharing.share_posting(
            state, panels.posting(item, act), to.circle, to.level, desk.time()
        )
        desk.step(sealed, pieces)
        with suppress(StoreError):  # as after sharing a finding
            desk.forget_shared()
        return entry

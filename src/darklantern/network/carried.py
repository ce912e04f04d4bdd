"""What a library carries of other people's records, to bring them to the keeper of their log: what, and how much.

In: a view with what is carried already, and a record. Out: the load with it, or RefusedError. Whoever gives a bundle
away could otherwise fill every library that it passes; and one that left out the second of two records at one place
would carry on the first and lose the proof.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from rpds import HashTrieMap

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.reading import read
from darklantern.network.view import View, misplaced
from darklantern.sealing.fingerprints import brief

MOST_OF_ONE: Final = 256
"""records of one device"""
MOST_BYTES: Final = 64 * 1024 * 1024
"""of all of them together"""


@dataclass(frozen=True)
class Load:
    """How much is carried."""

    size: int = 0
    """bytes"""
    of: "HashTrieMap[str, int]" = field(default_factory=HashTrieMap)
    """device → how many records of its"""

    def plus(self, data: bytes) -> "Load":
        """With one more envelope."""
        author = _author(data)
        return replace(self, size=self.size + len(data), of=self.of.insert(author, self.of.get(author, 0) + 1))


def check_carried(view: View, log: str, data: bytes, load: Load) -> Load:
    """The load with one more record of somebody's. Raises RefusedError for one that has no place, or is too much.

    `view` is the one in which all that is carried in that log already counts.
    """
    reason = misplaced(view, log, data)
    if reason is not None:
        raise RefusedError(reason, hint="it would not be appended by the keeper of its log either")
    more = load.plus(data)
    author = _author(data)
    if more.of[author] > MOST_OF_ONE or more.size > MOST_BYTES:
        raise RefusedError(
            f"expected at most {MOST_OF_ONE} records of one device and {MOST_BYTES} bytes to carry for others, got one "
            f"of {brief(author)} more",
            hint="bring what is here to the keepers of its logs first: sync, or carry a bundle to them",
        )
    return more


def _author(data: bytes) -> str:
    try:
        return read(data).record.author_device
    except DarkLanternError as error:
        raise RefusedError(error.message, hint="only whole records are carried") from error

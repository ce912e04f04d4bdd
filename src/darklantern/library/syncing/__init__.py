"""Syncing with relays: the same verified parts as a bundle, asked for one by one.

In: a library's state and remotes. Out: the next state, or an error that says which relay did what. A relay is
never believed: what it hands over is judged like a bundle, and each piece is compared with its name. It is told
nothing but what a bundle would show.
"""

from darklantern.library.syncing.remote import Posted, Remote
from darklantern.library.syncing.reports import RelaySync, Synced

__all__ = ["Posted", "RelaySync", "Remote", "Synced"]

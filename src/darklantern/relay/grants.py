"""Grants: nonces and tokens, in the database; and in this process's memory while the database's disk is full.

In: nonces and tokens as they are issued and spent. Out: whether they count. Whoever reads must be let in even when
nothing can be written: a full disk would keep everybody from the very records that say what to delete. What is in
memory counts in this process alone, once, until its time, and is bounded.
"""

import threading
from collections import OrderedDict
from typing import Final

from darklantern.errors import StoreError
from darklantern.relay.problems import busy, is_full
from darklantern.relay.stores import Database, Token

_TOKENS: Final = 10_000


class Grants:
    """Nonces and tokens of one relay, of which at most `nonces` may wait to be spent. Blocking: call it in a thread."""

    def __init__(self, database: Database, nonces: int) -> None:
        self._database = database
        self._most = nonces
        self._lock = threading.Lock()  # of what is in memory; never held while the database is asked
        self._nonces: OrderedDict[bytes, int] = OrderedDict()
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()

    def issue_nonce(self, nonce: bytes, expires: int, now: int) -> None:
        """Remember it. Raises Problem 503 while too many wait to be spent."""
        if self._database.outstanding_nonces(now) + len(self._nonces) >= self._most:
            with self._lock:
                self._nonces = OrderedDict((known, until) for known, until in self._nonces.items() if until > now)
            raise busy("too many log-ins have begun and not ended")
        try:
            self._database.issue_nonce(nonce, expires)
        except StoreError as error:
            if not is_full(error):
                raise
            with self._lock:
                self._nonces[nonce] = expires

    def spend_nonce(self, nonce: bytes, now: int) -> bool:
        """True once for each nonce, before it expires."""
        with self._lock:
            expires = self._nonces.pop(nonce, None)
        return expires > now if expires is not None else self._database.spend_nonce(nonce, now)

    def issue_token(self, token: Token) -> None:
        """Remember it."""
        try:
            self._database.issue_token(token)
        except StoreError as error:
            if not is_full(error):
                raise
            with self._lock:
                self._tokens[token.hash] = token
                while len(self._tokens) > _TOKENS:
                    self._tokens.popitem(last=False)

    def token(self, hash: bytes, now: int) -> Token | None:
        """Whose it is, while it counts."""
        with self._lock:
            token = self._tokens.get(hash)
        if token is None:
            return self._database.token(hash, now)
        return token if token.expires > now else None

    def end_tokens(self, device: str) -> None:
        """Forget those of a device that is listed no more. On a full disk they stay, and open nothing all the same."""
        with self._lock:
            self._tokens = OrderedDict((hash, token) for hash, token in self._tokens.items() if token.device != device)
        try:
            self._database.end_tokens(device)
        except StoreError as error:
            if not is_full(error):
                raise

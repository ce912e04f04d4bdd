"""Logging in: a nonce that is spent once, a signature, a token of ten minutes.

In: who asks, the folded logs. Out: nonces, tokens, and whose a token is. A token is kept as its hash
only, and ends early when the network's log no longer lists its device.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from darklantern.errors import SignatureError
from darklantern.records.relay_wire import Challenge, Grant, Login
from darklantern.relay.folded import Folded
from darklantern.relay.grants import Grants
from darklantern.relay.known_peers import KnownPeers
from darklantern.relay.limits import Rate
from darklantern.relay.problems import Problem
from darklantern.relay.readers import Asker, device_asker
from darklantern.relay.stores import Token
from darklantern.sealing.login import NONCE_BYTES, TOKEN_S, login_message, verify_login

_CACHED: Final = 10_000


class Logins:
    """Nonces and tokens of one relay."""

    def __init__(
        self,
        folded: Folded,
        relay: str,
        peers: KnownPeers,
        grants: Grants,
        logins_a_minute: int,
        clock: Callable[[], float],
    ) -> None:
        self._folded = folded
        self._relay = relay
        self._peers = peers
        self._grants = grants
        self._rate = Rate(2 * logins_a_minute, 60.0)  # a log-in is two requests
        self._bad = Rate(2 * logins_a_minute, 60.0)
        """tokens that were looked up and do not count"""
        self._clock = clock
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()

    async def challenge(self, address: str) -> Challenge:
        """A nonce. Raises Problem 429, and 503 while too many wait to be spent."""
        now = self._clock()
        self._rate.take(address, now)
        nonce, expires = secrets.token_bytes(NONCE_BYTES), int(now) + TOKEN_S
        await asyncio.to_thread(self._grants.issue_nonce, nonce, expires, int(now))
        return Challenge(relay=self._relay, nonce=nonce, expires=expires)

    async def log_in(self, login: Login, address: str) -> Grant:
        """A token for who signed the nonce. Raises Problem 401 whatever is wrong: it does not say who is known here."""
        now = self._clock()
        self._rate.take(address, now)
        # The nonce goes first: one that is tried with a wrong signature is spent all the same.
        fresh = await asyncio.to_thread(self._grants.spend_nonce, login.nonce, int(now))
        if self._auth_key(login.device) is None:
            await self._folded.follow()  # another process may have appended its manifest just now
        auth = self._auth_key(login.device)
        if not fresh or auth is None or not int(now) < login.expires <= int(now) + TOKEN_S:
            raise _refused()
        message = login_message(self._folded.view.net, self._relay, login.nonce, login.device, login.expires)
        try:
            verify_login(auth, login.signature, message)
        except SignatureError as error:
            raise _refused() from error
        text = secrets.token_urlsafe(32)
        token = Token(_hash(text), login.device, login.expires)
        await asyncio.to_thread(self._grants.issue_token, token)
        self._remember(token)
        return Grant(token=text, expires=login.expires)

    def known(self, text: str) -> Asker | None:
        """Whose token it is, where this process knows it to be good: from memory, at once."""
        token = self._tokens.get(_hash(text))
        return self._asker(token.device) if token and token.expires > self._clock() else None

    async def asker(self, text: str, address: str) -> Asker:
        """Whose token it is. Raises Problem 401, and 429 to an address that has brought too many others."""
        now = self._clock()
        self._bad.check(address, now)
        key = _hash(text)
        token = await asyncio.to_thread(self._grants.token, key, int(now))
        asker = self._asker(token.device) if token and token.expires > now else None
        if token and asker:
            self._remember(token)
            return asker
        self._tokens.pop(key, None)
        self._bad.take(address, now)
        if token:
            await asyncio.to_thread(self._grants.end_tokens, token.device)
        raise _ended()

    def _remember(self, token: Token) -> None:
        self._tokens[token.hash] = token
        while len(self._tokens) > _CACHED:
            self._tokens.popitem(last=False)

    def _asker(self, id: str) -> Asker | None:
        if peer := self._peers.all().get(id):
            return Asker(id, peer.name, is_peer=True)
        return device_asker(self._folded.view, id)

    def _auth_key(self, id: str) -> bytes | None:
        if peer := self._peers.all().get(id):
            return peer.card.public.auth
        view = self._folded.view
        return view.network.devices[id].device.auth if device_asker(view, id) else None


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _refused() -> Problem:
    return Problem(
        401,
        "this log-in does not count",
        "its nonce was spent or has ended, its signature is another's, or the network's log does not list the device",
    )


def _ended() -> Problem:
    return Problem(401, "expected a token of this relay that is still good, got none or another", "log in again")

"""Nonces and tokens in a relay's database."""

from darklantern.errors import StoreError
from darklantern.relay.stores.engine import Tables
from darklantern.relay.stores.values import Token, check_hash, check_integer, check_name


class TokenTables(Tables):
    """Who may ask, until when."""

    def issue_nonce(self, nonce: bytes, expires: int) -> None:
        """Remember a nonce that may be spent once before `expires`. Raises StoreError for one issued before."""
        check_hash(nonce)
        check_integer(expires)
        with self._engine.transaction(write=True) as session:
            if not session.change("INSERT INTO nonces VALUES (?, ?) ON CONFLICT DO NOTHING", nonce, expires):
                raise StoreError(
                    "expected a new nonce, got one twice", hint="the relay's random source is broken: stop it"
                )

    def outstanding_nonces(self, now: int) -> int:
        """How many nonces may still be spent."""
        with self._engine.transaction(write=False) as session:
            return int(session.rows("SELECT COUNT(*) FROM nonces WHERE expires > ?", now)[0][0])

    def spend_nonce(self, nonce: bytes, now: int) -> bool:
        """True once for each nonce, and only before it expires: of many relays that ask at once, one is told so."""
        check_hash(nonce)
        with self._engine.transaction(write=True) as session:
            return bool(session.change("DELETE FROM nonces WHERE nonce = ? AND expires > ?", nonce, now))

    def issue_token(self, token: Token) -> None:
        """Remember a device's token. Raises StoreError for one that was issued before."""
        with self._engine.transaction(write=True) as session:
            if not session.change(
                "INSERT INTO tokens VALUES (?, ?, ?) ON CONFLICT DO NOTHING", token.hash, token.device, token.expires
            ):
                raise StoreError(
                    "expected a new token, got one twice", hint="the relay's random source is broken: stop it"
                )

    def token(self, token_hash: bytes, now: int) -> Token | None:
        """Whose token it is and until when, or None when it is unknown, expired or ended."""
        check_hash(token_hash)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT device, expires FROM tokens WHERE hash = ? AND expires > ?", token_hash, now)
        return Token(token_hash, *rows[0]) if rows else None

    def end_tokens(self, device: str) -> int:
        """End all tokens of a revoked device; how many there were."""
        check_name(device)
        with self._engine.transaction(write=True) as session:
            return session.change("DELETE FROM tokens WHERE device = ?", device)

    def expire(self, now: int) -> int:
        """Delete the nonces and tokens that have expired; how many there were. Changes no answer, only the space."""
        with self._engine.transaction(write=True) as session:
            nonces = session.change("DELETE FROM nonces WHERE expires <= ?", now)
            return nonces + session.change("DELETE FROM tokens WHERE expires <= ?", now)

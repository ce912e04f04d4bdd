"""A passphrase that nobody types: random, kept by the operating system's keystore under the library's own name there.

In: a library's folder. Out: its passphrase, or nothing where a person keeps it. The library's header holds the name,
which is random and says nothing. The package `keyring` speaks to the keystore; a keystore that would keep secrets in
the clear, or not at all, is refused.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from darklantern.errors import MissingExtraError, StoreError
from darklantern.stores.vault import read_headers

SERVICE: Final = "darklantern"
_TRUSTED: Final = ("keyring.backends.SecretService", "keyring.backends.kwallet", "keyring.backends.libsecret")
_TRUSTED_ELSEWHERE: Final = ("keyring.backends.macOS", "keyring.backends.Windows")


@dataclass(frozen=True, repr=False)
class Kept:
    """A new passphrase, and its name in the keystore; without one, a person keeps it. Secret: it does not print."""

    passphrase: str
    id: str | None = None


def kept_passphrases(folder: Path) -> tuple[str, ...]:
    """The passphrases of the library in `folder` that the keystore holds: none where a person keeps it.

    Two while a change of passphrase is unfinished, the newer first. Raises StoreError.
    """
    ids = [header.keystore for header in read_headers(folder) if header.keystore is not None]
    if not ids:
        return ()
    backend = _backend()
    try:
        found = [backend.get_password(SERVICE, id) for id in ids]
    except Exception as error:  # noqa: BLE001 - each keystore raises errors of its own
        raise _unavailable(error) from None
    held = tuple(each for each in found if each is not None)
    if not held:
        raise StoreError(
            "the operating system's keystore does not hold this library's passphrase",
            hint="is this the machine and the user that made it? Without it there is no way in: restore a backup",
        )
    return held


@contextmanager
def keep_passphrase() -> Iterator[Kept]:
    """A random 256-bit passphrase, in the keystore when the body begins, and gone again where the body fails."""
    backend, kept = _backend(), Kept(secrets.token_urlsafe(32), secrets.token_hex(16))
    try:
        backend.set_password(SERVICE, kept.id, kept.passphrase)
        held = backend.get_password(SERVICE, kept.id)
    except Exception as error:  # noqa: BLE001 - each keystore raises errors of its own
        raise _unavailable(error) from None
    if held != kept.passphrase:
        raise StoreError("the keystore did not keep what it was given", hint="use a passphrase of your own instead")
    try:
        yield kept
    except BaseException:
        forget_passphrase(kept.id)
        raise


def forget_passphrase(id: str | None) -> None:
    """Remove an entry that no library names any more; one that cannot be removed opens nothing."""
    if id is not None:
        with suppress(Exception):
            _backend().delete_password(SERVICE, id)


def _backend() -> Any:
    """The keystore. Raises MissingExtraError, and StoreError for one that keeps no secret."""
    try:
        import keyring
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the operating system's keystore needs the package keyring", hint='pip install "darklantern[keystore]"'
        ) from error
    backend = keyring.get_keyring()
    # The chainer picks among several: what counts is the one that it would write to.
    first = next(iter(getattr(backend, "backends", ())), backend)
    if not type(first).__module__.startswith(_TRUSTED + _TRUSTED_ELSEWHERE):
        raise StoreError(
            f"expected the operating system's keystore, got {type(first).__module__}, which keeps no secret",
            hint="on Linux, start a desktop session or gnome-keyring; or use a passphrase",
        )
    return first


def _unavailable(error: Exception) -> StoreError:
    # Only the type: a message of the keystore could quote what was given to it.
    return StoreError(
        f"the operating system's keystore cannot be used: {type(error).__name__}",
        hint="is it locked? Unlock it, or log in to a desktop session, and try again",
    )

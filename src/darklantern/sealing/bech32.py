"""Bech32 (BIP 173) as age uses it: without a length limit, all lower or all upper case.

In: a prefix and bytes. Out: checked text, and back. It repairs nothing: text that is not exactly
what `encode` would write is refused.
"""

import base64
from functools import reduce

from darklantern.errors import SealError

# Regrouping 8-bit bytes as 5-bit symbols is what base32 (RFC 4648) does; only the alphabet differs.
_ALPHABET = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE32 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_FROM_BASE32 = bytes.maketrans(_BASE32, _ALPHABET)
_DIGITS = b"0123456789abcdefghijklmnopqrstuv"
_TO_DIGITS = bytes.maketrans(_ALPHABET, _DIGITS)
_NO_SYMBOL = 32
_SYMBOLS = bytes(_ALPHABET.index(each) if each in _ALPHABET else _NO_SYMBOL for each in range(256))

_CHECKSUM = 6
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_STEP = tuple(reduce(lambda a, b: a ^ b, (g for i, g in enumerate(_GENERATOR) if top >> i & 1), 0) for top in range(32))
"""The generator's effect for each value of the five bits shifted out: one look-up for each symbol."""


def encode(prefix: str, data: bytes) -> str:
    """`data` as lower-case Bech32 under a lower-case `prefix`."""
    body = base64.b32encode(data).rstrip(b"=").translate(_FROM_BASE32)
    remainder = _polymod(prefix, body.translate(_SYMBOLS) + bytes(_CHECKSUM)) ^ 1
    checksum = bytes(_ALPHABET[remainder >> 5 * (_CHECKSUM - 1 - i) & 31] for i in range(_CHECKSUM))
    return f"{prefix}1{(body + checksum).decode()}"


def decode(prefix: str, text: str) -> bytes:
    """The bytes in `text`, which must be what `encode` writes, or that in upper case throughout.

    Raises SealError, which never quotes `text`: it may be a secret key.
    """
    lower = text.lower()
    # Non-ASCII first: the Kelvin sign's lower case is an ordinary k.
    if text.isascii() and text in (lower, text.upper()) and lower.startswith(f"{prefix}1"):
        body = lower[len(prefix) + 1 :].encode()
        symbols = body.translate(_SYMBOLS)
        if len(body) >= _CHECKSUM and _NO_SYMBOL not in symbols and _polymod(prefix, symbols) == 1:
            # `int` reads digits of a base that is a power of two in one pass, five bits each.
            count = len(body) - _CHECKSUM
            number = int(body[:count].translate(_TO_DIGITS) or b"0", 32)
            size, spare = divmod(5 * count, 8)
            if spare < 5 and not number & (1 << spare) - 1:  # else `encode` would write fewer symbols, or others
                return (number >> spare).to_bytes(size, "big")
    raise _error(prefix)


def _polymod(prefix: str, values: bytes) -> int:
    check = 1
    for value in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *values):
        check = (check & 0x1FFFFFF) << 5 ^ value ^ _STEP[check >> 25]
    return check


def _error(prefix: str) -> SealError:
    return SealError(
        f"expected Bech32 text that begins with {prefix}1 and has a right checksum, got other text",
        hint="copy the whole key again; one changed, missing or re-cased character is enough to refuse it",
    )

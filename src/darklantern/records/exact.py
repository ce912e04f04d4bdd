"""One value, one byte string: deterministic JSON, decoded strictly and compared after re-encoding."""

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec

from darklantern.errors import RecordError

T = TypeVar("T")

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""Lower-case hex of a SHA-256."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
"""A sentence or two, for people."""
Text = Annotated[str, msgspec.Meta(max_length=1_000_000)]
_DAY: Final = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
Time = Annotated[str, msgspec.Meta(pattern=rf"^(?!0000){_DAY}T{_CLOCK}Z\Z")]
"""UTC to the second, in ASCII digits, of a day that exists. In a record, time informs people and decides nothing."""


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all records: immutable, compared by value, unknown fields refused.

    Subclasses repeat `frozen=True, kw_only=True`: type checkers do not inherit them.
    """


def encode(value: Value) -> bytes:
    """The exact bytes of `value`: UTF-8 JSON, fields in declared order, map keys sorted, no spaces.

    Raises RecordError for a value that would not decode to itself: NaN and infinity become `null`
    in JSON, and a field of the wrong type was never checked when the value was made.
    """
    try:
        data = msgspec.json.encode(value, order="deterministic")
    except (TypeError, RecursionError, UnicodeEncodeError) as error:  # the last: half of a surrogate pair
        raise RecordError(
            f"a {type(value).__name__} holds a value that no record can: {error}",
            hint="use plain texts, numbers, lists and maps, nested a few levels deep",
        ) from error
    try:
        decode(type(value), data)
    except RecordError as error:
        raise RecordError(
            f"this {type(value).__name__} would not come back from its bytes: {error.message}",
            hint="a field holds NaN, infinity or another type than it declares (an int where a float belongs, say)",
        ) from error
    return data


def decode(kind: type[T], data: bytes) -> T:
    """The value in `data`, which must be its exact bytes.

    Decoding and re-encoding must give the same bytes back. That refuses duplicate keys, other
    spellings of numbers, other orders and white space, so that a hash of the bytes names one value.
    """
    try:
        value = msgspec.json.decode(data, type=kind)
        same = msgspec.json.encode(value, order="deterministic") == data
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(
            f"expected the exact bytes of one {kind.__name__}, got {len(data)} bytes that do not decode: {error}",
            hint=_hint(error),
        ) from error
    except RecursionError as error:  # 200,000 brackets fit in one record, and must not stop a whole import
        raise RecordError(
            f"expected the exact bytes of one {kind.__name__}, got brackets nested too deep to read",
            hint="no honest record looks like this; ask its author what it is",
        ) from error
    if not same:
        raise RecordError(
            f"these {len(data)} bytes decode to a {kind.__name__} but are not its exact bytes",
            hint="duplicate keys, reordered fields and extra white space are refused; ask the sender for the original",
        )
    return value


def _hint(error: Exception) -> str:
    unknown = re.search(r"unknown field `([^`]*)`", str(error))
    if unknown:
        return f"field {unknown[1]!r} is unknown to this version; a newer darklantern may have written it"
    return "the file may be truncated or of another kind; ask for it again"


def plain(value: Any) -> Any:
    """`value` as dicts, lists and scalars, for printing as JSON or for a template."""
    return msgspec.to_builtins(value)

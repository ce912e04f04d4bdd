"""Base of plaintext values that hold a seed: they do not print it."""

from typing import Any

from darklantern.records.exact import Value


class SecretValue(Value, frozen=True, kw_only=True):
    """A value of which neither `repr` nor a pretty-printer shows a field."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, secret not shown>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's own would list the fields
        return []

"""What judging a record gives."""

from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State")


@dataclass(frozen=True)
class Verdict(Generic[State]):
    """The state after a record that is its signer's own. `refused` says why it does not count, if it does not.

    A record that is refused here still belongs in the log: it moves its device's chain on, or it proves
    a fork. One whose signer did not make it, or may not write at all, never gets a verdict but an error.
    """

    state: State
    refused: str | None = None

"""Grants while the disk is full: in memory, asked and changed by many threads at once."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from darklantern.errors import StoreError
from darklantern.relay.grants import Grants
from darklantern.relay.stores import Token

TOKENS, ROUNDS, KEPT = 2000, 1500, 5000


class Full:
    """A database whose disk is full."""

    def issue_token(self, token: Token) -> None:
        raise StoreError("disk full", hint="make room") from OSError(28, "No space left on device")

    def end_tokens(self, device: str) -> None:
        self.issue_token(Token(bytes(32), device, 0))

    def token(self, hash: bytes, now: int) -> None:
        return None


@pytest.fixture
def quick_switches() -> object:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield None
    sys.setswitchinterval(before)


def test_no_token_is_lost_while_those_of_others_end(quick_switches: object) -> None:
    grants = Grants(Full(), 10)  # type: ignore[arg-type]
    for _ in range(KEPT):
        grants.issue_token(Token(os.urandom(32), "bo", 9))

    def issue() -> int:
        lost = 0
        for _ in range(TOKENS):
            hash = os.urandom(32)
            grants.issue_token(Token(hash, "ada", 9))
            lost += grants.token(hash, 0) is None
        return lost

    def end() -> int:
        for _ in range(ROUNDS // 10):
            grants.end_tokens("nobody")
        return 0

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(each) for each in (issue, issue, end, end)]
        assert [each.result() for each in running] == [0, 0, 0, 0]

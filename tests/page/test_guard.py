"""The guard by itself: every rule is needed, and none is enough."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.page.guard import COOKIE, Asked, Guard, Verdict

HERE = "127.0.0.1:8123"


def mine(guard: Guard) -> Asked:
    return Asked("GET", guard.base, hosts=(HERE.encode(),), cookies=(f"{COOKIE}={guard.cookie}".encode(),))


def entering(guard: Guard) -> Asked:
    return Asked("GET", "/", token=guard.token.encode(), hosts=(HERE.encode(),))


def test_the_owner_passes() -> None:
    guard = Guard(HERE)
    assert guard.judge(entering(guard)) is Verdict.ENTER
    assert guard.judge(mine(guard)) is Verdict.PASS
    assert guard.judge(replace(mine(guard), method="HEAD")) is Verdict.PASS
    assert guard.judge(replace(mine(guard), origins=(b"http://127.0.0.1:8123",))) is Verdict.PASS


def test_the_link_works_once() -> None:
    guard = Guard(HERE)
    assert guard.judge(entering(guard)) is Verdict.ENTER
    assert guard.judge(entering(guard)) is Verdict.SPENT


@pytest.mark.parametrize(
    "change",
    [
        {"token": b"guess"},
        {"token": b""},
        {"method": "HEAD"},
        {"method": "POST"},
        {"path": "/finding/x"},
        {"hosts": (b"attacker.example:8123",)},
        {"origins": (b"http://attacker.example",)},
        {"sites": (b"cross-site",)},
    ],
    ids=str,
)
def test_a_refused_entry_leaves_the_link_unspent(change: dict[str, object]) -> None:
    guard = Guard(HERE)
    assert guard.judge(replace(entering(guard), **change)) in (Verdict.STRANGER, Verdict.FOREIGN)
    assert guard.judge(entering(guard)) is Verdict.ENTER


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"hosts": ()}, Verdict.FOREIGN),
        ({"hosts": (b"127.0.0.1",)}, Verdict.FOREIGN),
        ({"hosts": (b"127.0.0.1:8124",)}, Verdict.FOREIGN),
        ({"hosts": (b"localhost:8123",)}, Verdict.FOREIGN),
        ({"hosts": (b"attacker.example:8123",)}, Verdict.FOREIGN),
        ({"hosts": (b"127.0.0.1:8123", b"attacker.example:8123")}, Verdict.FOREIGN),
        ({"hosts": (b"127.0.0.1:8123.attacker.example",)}, Verdict.FOREIGN),
        ({"origins": (b"null",)}, Verdict.FOREIGN),
        ({"origins": (b"",)}, Verdict.FOREIGN),
        ({"origins": (b"https://127.0.0.1:8123",)}, Verdict.FOREIGN),
        ({"origins": (b"http://127.0.0.1:9999",)}, Verdict.FOREIGN),
        ({"origins": (b"http://127.0.0.1:8123", b"http://attacker.example")}, Verdict.FOREIGN),
        ({"sites": (b"cross-site",)}, Verdict.FOREIGN),
        ({"sites": (b"same-site",)}, Verdict.FOREIGN),
        ({"cookies": ()}, Verdict.STRANGER),
        ({"cookies": (b"darklantern=",)}, Verdict.STRANGER),
        ({"cookies": (b"darklantern=wrong; other=1",)}, Verdict.STRANGER),
        ({"method": "POST"}, Verdict.METHOD),
        ({"method": "OPTIONS"}, Verdict.METHOD),
    ],
    ids=str,
)
def test_each_rule_refuses_alone(change: dict[str, object], verdict: Verdict) -> None:
    guard = Guard(HERE)
    assert guard.judge(replace(mine(guard), **change)) is verdict


def test_a_cookie_that_a_neighbour_set_beside_ours_does_not_lock_the_owner_out() -> None:
    guard = Guard(HERE)
    ours = f"{COOKIE}={guard.cookie}".encode()
    for cookies in ((b"darklantern=planted; " + ours,), (ours + b"; darklantern=planted",), (b"darklantern=x", ours)):
        assert guard.judge(replace(mine(guard), cookies=cookies)) is Verdict.PASS


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_nobody_guesses(token: bytes, cookie: bytes, other: bytes) -> None:
    guard = Guard(HERE)
    asked = Asked("GET", "/", token=token, hosts=(HERE.encode(),), cookies=(b"darklantern=" + cookie, other))
    assert guard.judge(asked) is Verdict.STRANGER


def test_secrets_are_long_differ_and_stay_out_of_repr() -> None:
    one, two = Guard(HERE), Guard(HERE)
    secrets = [one.token, one.cookie, one.base, two.token, two.cookie, two.base]
    assert len(set(secrets)) == 6
    assert all(len(each) >= 22 for each in secrets)
    assert not any(each in repr(one) for each in secrets[:3])


def test_the_cookie_goes_to_one_path_only_and_to_no_script() -> None:
    guard = Guard(HERE)
    assert guard.set_cookie == f"darklantern={guard.cookie}; Path={guard.base}; HttpOnly; SameSite=Strict"

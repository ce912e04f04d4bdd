"""Invitations: one code, one answer, and nothing on the way that helps whoever reads or changes it."""

import base64
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.cards import Card, Holder
from darklantern.network.clock import text
from darklantern.network.invitations import (
    CODE,
    Code,
    Invitation,
    Request,
    answer,
    check_request,
    check_welcome,
    comparison,
    invite,
    new_code,
    parse_code,
    welcome,
)
from darklantern.records.exact import encode
from darklantern.sealing import Envelope, envelope_id
from network.world import NOW, cosign, device, draft_roster, key, log_key, network_keys, roster


def card(who: str, org: str = "Aurora") -> Card:
    return Card(holder=Holder(org=org, person=who, name=f"Dr {who}"), device=device(who).public)


def genesis() -> Envelope:
    return cosign(draft_roster(roster(), NOW), network_keys("Aurora", "Beacon"))


def invited(code: Code | None = None) -> tuple[Code, Invitation]:
    code = code or new_code()
    return code, invite(code, envelope_id(genesis()), "Lantern", text(NOW + 1), card("ada"))


def test_the_three_messages_bring_somebody_in() -> None:
    code, invitation = invited()
    typed = parse_code(code.spoken().lower().replace("-", " "))
    request = answer(typed, invitation, card("bo", "Beacon"))
    check_request(code, invitation, request)
    came = welcome(code, invitation, request, genesis())
    check_welcome(typed, invitation, request, came)
    assert comparison(invitation, request.card) != comparison(invitation, card("al"))


@given(secret=st.binary(min_size=CODE, max_size=CODE))
def test_a_spoken_code_comes_back(secret: bytes) -> None:
    code = Code(secret=secret)
    groups = code.spoken().split("-")
    assert [len(group) for group in groups] == [5] * 6
    assert parse_code(code.spoken()) == code
    assert parse_code(code.spoken().replace("0", "o").replace("1", "l")) == code


@given(secret=st.binary(min_size=CODE, max_size=CODE), place=st.integers(0, 29), by=st.integers(1, 31))
def test_no_single_slip_passes_for_a_code(secret: bytes, place: int, by: int) -> None:
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    spoken = list(Code(secret=secret).spoken().replace("-", ""))
    spoken[place] = letters[(letters.index(spoken[place]) + by) % 32]
    try:
        other = parse_code("".join(spoken))
    except RefusedError as refused:
        assert "".join(spoken) not in f"{refused}{refused.hint}"
    else:  # 22 bits: about once in four million slips, and then the MAC refuses
        assert other != Code(secret=secret)


@pytest.mark.parametrize("typed", ["", "x", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA", "é" * 30, "U" * 30, "0" * 29])
def test_what_is_no_code_is_refused(typed: str) -> None:
    with pytest.raises(RefusedError, match="no invitation code"):
        parse_code(typed)


def test_p31_a_request_with_another_code_is_refused() -> None:
    code, invitation = invited()
    with pytest.raises(RefusedError, match="does not belong to this invitation"):
        answer(new_code(), invitation, card("bo"))
    forged = Request(invitation=invitation.id, card=card("bo"), mac=os.urandom(32))
    with pytest.raises(RefusedError, match="burnt"):
        check_request(code, invitation, forged)


def test_p31_the_transcript_holds_no_secrets() -> None:
    code, invitation = invited()
    request = answer(code, invitation, card("bo"))
    came = welcome(code, invitation, request, genesis())
    transcript = b"".join(encode(each) for each in (invitation, request, came))
    secrets = [code.secret, code.spoken().encode(), code.spoken().replace("-", "").encode()]
    for who in ("ada", "bo"):
        secrets += [device(who).to_bytes(), device(who).receiving.seed, *device(who).signing.seeds()]
    for secret in secrets:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret), base64.b32encode(secret)):
            assert form not in transcript
    assert code.spoken() not in repr(code) + str(code)


def test_p31_whoever_stands_between_cannot_swap_a_card() -> None:
    code, invitation = invited()
    request = answer(code, invitation, card("bo"))
    swapped = msgspec.structs.replace(request, card=card("mallory"))
    with pytest.raises(RefusedError):
        check_request(code, invitation, swapped)
    # Nor the inviter's, on the way out.
    with pytest.raises(RefusedError, match="altered"):
        answer(code, msgspec.structs.replace(invitation, inviter=card("mallory")), card("bo"))
    for field, value in (("net", "1" * 64), ("network", "other"), ("until", text(NOW + 10**6))):
        with pytest.raises(RefusedError, match="altered"):
            answer(code, msgspec.structs.replace(invitation, **{field: value}), card("bo"))


def test_p31_an_answer_to_one_invitation_fits_no_other_even_under_one_code() -> None:
    code, first = invited()
    _, second = invited(code)
    request = answer(code, first, card("bo"))
    with pytest.raises(RefusedError):
        check_request(code, second, request)
    with pytest.raises(RefusedError):
        check_request(code, second, msgspec.structs.replace(request, invitation=second.id))
    came = welcome(code, first, request, genesis())
    with pytest.raises(RefusedError):
        check_welcome(code, second, request, came)


def test_p31_no_message_is_of_use_when_it_is_sent_back() -> None:
    """Each MAC is under a key of its own for its place in the exchange."""
    code, invitation = invited()
    request = answer(code, invitation, card("bo"))
    came = welcome(code, invitation, request, genesis())
    for mac in (invitation.mac, came.mac):
        with pytest.raises(RefusedError):
            check_request(code, invitation, msgspec.structs.replace(request, mac=mac))
    for mac in (invitation.mac, request.mac):
        with pytest.raises(RefusedError):
            check_welcome(code, invitation, request, msgspec.structs.replace(came, mac=mac))
    # The inviter's own card, reflected as if it were the joiner's.
    with pytest.raises(RefusedError):
        check_request(code, invitation, msgspec.structs.replace(request, card=invitation.inviter))


def test_p31_a_welcome_into_another_network_is_refused() -> None:
    code, invitation = invited()
    request = answer(code, invitation, card("bo"))
    other = cosign(draft_roster(roster(name="look-alike"), NOW), network_keys("Aurora", "Beacon"))
    with pytest.raises(RefusedError):
        check_welcome(code, invitation, request, welcome(code, invitation, request, other))


def test_p35_no_card_holds_one_key_twice() -> None:
    code, _ = invited()
    whole = card("ada")
    named = {"org_root": key("Aurora first").public, "network_root": key("network Aurora").public}
    good = msgspec.structs.replace(whole, log=log_key("keeper").public, **named)
    invite(code, "1" * 64, "Lantern", text(NOW), good)
    for changes in (
        {"org_root": whole.device.signing},
        {"network_root": named["org_root"]},
        {"log": msgspec.structs.replace(good.log, ed25519=whole.device.auth)},
    ):
        with pytest.raises(DarkLanternError, match="one key in two roles"):
            invite(code, "1" * 64, "Lantern", text(NOW), msgspec.structs.replace(good, **changes))

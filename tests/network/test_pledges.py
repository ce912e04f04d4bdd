"""Pledges: renewed, taken back, broken. What is recorded of a person decides who gets the next epoch."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from darklantern.errors import RefusedError
from darklantern.network import cosign, effective, explaining
from darklantern.network.authoring import drafted
from darklantern.network.circles import Named, Removal
from darklantern.network.clock import text
from darklantern.network.deciding import plan
from darklantern.network.pledges import Breach, Commitment
from darklantern.network.states import Fork
from darklantern.sealing import SigningKey
from network.world import NOW, PLEDGE, YEAR, World, circled, device, network_keys, org_keys

DAY = 24 * 3600
BREACH = Breach(org="Aurora", person="al", pledge="no-frontier", time=text(NOW), reason="trained on it")


def explain(world: World, circle: str, name: str, now: int = NOW) -> str:
    return effective(world.view.network, circle, now).explain(device(name).public.id)


def breach(world: World, keys: list[SigningKey], **changes: object):
    body = msgspec.structs.replace(BREACH, **changes)
    return cosign(drafted(world.net, "breach", body, NOW), keys)


def test_p22_the_last_pledge_in_the_log_counts() -> None:
    world, circle = circled()
    world.pledge("Aurora", "al", until=text(NOW + DAY))  # shorter than the one before: taken back, as of then
    assert explain(world, circle, "al", NOW + DAY) == f"pledge 'no-frontier' expired on {text(NOW + DAY)}"
    world.pledge("Aurora", "al", until=text(NOW + YEAR))
    assert explain(world, circle, "al", NOW + DAY) == "is a member"


def test_whoever_lacks_a_pledge_is_told_what_to_call_and_whoever_broke_one_is_not() -> None:
    world, circle = circled()
    world.pledge("Aurora", "al", until=text(NOW - DAY))
    with pytest.raises(RefusedError, match=r"not an effective member: pledge .* expired") as caught:
        world.plan(circle, "al")
    assert "`darklantern pledge sign no-frontier --version 1`, and a sync" in caught.value.hint
    world.add(breach(world, org_keys("Aurora")))
    with pytest.raises(RefusedError, match="not an effective member: broke") as caught:
        world.plan(circle, "al")
    assert "pledge sign" not in caught.value.hint


AL = device("al").public.id
BO = Named(org="Beacon", person="bo", devices=(device("bo").public.id,))
FORK = Fork("1" * 64, "2" * 64, 0)


def frozen(world: World, circle: str) -> None:
    world.view = replace(world.view, history=world.view.history.plus(replace(world.view.network, frozen={AL: FORK})))


def frozen_in_the_circle(world: World, circle: str) -> None:
    state = replace(world.view.circle(circle), frozen={AL: FORK})
    world.view = replace(world.view, circles={**world.view.circles, circle: state})


def removed(world: World, circle: str) -> None:
    body = Removal(circle=circle, org="Aurora", person="al", device=AL, reason="lost in a train")
    world.add(world.sign(world.net, "removal", body, "ada"))


def unvouched(world: World, circle: str) -> None:
    world.add(world.successor(circle, "ada", "bo", countersigned=True, people=(BO,)))


@pytest.mark.parametrize("besides", [frozen, frozen_in_the_circle, removed, unvouched])
def test_where_something_else_keeps_a_device_out_too_no_pledge_is_said_to_mend_it(
    besides: Callable[[World, str], None],
) -> None:
    world, circle = circled()
    world.pledge("Aurora", "al", until=text(NOW - DAY))
    world.rotate(circle, "bo", NOW + 1)
    data, _ = world.post(circle, "bo")
    post = world.add(data, circle)
    assert world.view.to_sign(circle, AL, NOW) == (PLEDGE,)
    besides(world, circle)
    assert world.view.to_sign(circle, AL, NOW) == ()
    with pytest.raises(RefusedError, match="not an effective member") as caught:
        world.plan(circle, "al")
    assert "pledge sign" not in caught.value.hint
    said = str(explaining.explain(world.view, ("Aurora", "al"), post, waiting=frozenset(), now=NOW))
    assert "cannot" in said and "pledge sign" not in said


def test_who_has_signed_and_waits_for_a_sync_is_not_told_to_sign_again() -> None:
    world, circle = circled()
    world.pledge("Aurora", "al", until=text(NOW - DAY))
    with pytest.raises(RefusedError) as caught:
        plan(world.view, circle, AL, seeds=(), kept=(world.net, circle), now=NOW, signed=(PLEDGE,))
    assert caught.value.hint == "your signature waits: sync"


@pytest.mark.parametrize("keys", [org_keys("Aurora"), network_keys("Beacon", "Cairn")], ids=["own org", "network"])
def test_p22_who_has_broken_a_pledge_is_out_until_that_is_taken_back(keys: list[SigningKey]) -> None:
    world, circle = circled()
    recorded = world.add(breach(world, keys))
    assert explain(world, circle, "al") == f"broke the pledge 'no-frontier' on {text(NOW)}: trained on it"
    assert world.plan(circle, "ada").epoch is None
    world.pledge("Aurora", "al", until=text(NOW + YEAR))  # promising it again does not help
    assert explain(world, circle, "al").startswith("broke")
    world.add(breach(world, keys, reason="it was not him", withdraws=recorded))
    assert explain(world, circle, "al") == "is a member"


@pytest.mark.parametrize(
    "keys", [org_keys("Aurora")[:1], network_keys("Cairn")], ids=["one root of two", "one org of three"]
)
def test_nobody_alone_says_that_somebody_broke_a_pledge(keys: list[SigningKey]) -> None:
    world, _ = circled()
    with pytest.raises(RefusedError, match="2 distinct orgs"):
        world.add(breach(world, keys))


def test_another_orgs_roots_say_nothing_of_a_person() -> None:
    world, circle = circled()
    assert world.put(msgspec.json.encode(breach(world, org_keys("Beacon")))) != ""
    assert explain(world, circle, "al") == "is a member"


def test_a_commitment_is_named_by_its_exact_words() -> None:
    world, _ = circled()
    body = Commitment(name="no-frontier", version=2, basis="nda", reference="NDA of 2026-09-01", text="I will not.")
    world.add(world.sign(world.net, "commitment", body, "bo"))
    assert world.view.network.commitments[body.terms] == body
    assert body.terms != msgspec.structs.replace(body, text="I will not!").terms
    assert body.terms != msgspec.structs.replace(body, reference="another").terms

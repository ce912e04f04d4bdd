"""Who decides which orgs are trusted: a threshold of distinct orgs, old and new, and nobody else."""

import msgspec
import pytest

from darklantern.errors import DarkLanternError, LogError, RefusedError, SignatureError
from darklantern.network import NetworkRoot, Roster, View, append, cosign, draft_roster
from darklantern.network import clock as time
from darklantern.network.clock import text
from darklantern.network.heads import sign_head
from darklantern.network.rosters import Expelled
from darklantern.records.exact import decode, encode
from darklantern.sealing import Envelope, envelope_id
from network.world import NOW, YEAR, World, circled, founded, key, log_key, network_keys, person, roster


def successor(world: World, *signers: str, net: str | None = None, **changes: object) -> Envelope:
    last = world.view.network.rosters[-1]
    after = msgspec.structs.replace(last.body, **{"version": last.body.version + 1, "previous": last.id} | changes)
    return cosign(draft_roster(after, NOW, net or world.net), [key(name) for name in signers])


def test_p11_a_threshold_of_distinct_orgs_founds_and_changes_the_roster() -> None:
    world = founded()
    world.add(successor(world, "network Aurora", "network Cairn", name="renamed"))
    assert world.view.network.roster is not None
    assert (world.view.network.roster.version, world.view.network.roster.name) == (2, "renamed")


@pytest.mark.parametrize(
    "signers",
    [
        pytest.param(["network Aurora"], id="t-1"),
        pytest.param(["network Aurora", "Aurora first", "Aurora second"], id="org roots are no network roots"),
        pytest.param(["network Aurora", "a stranger"], id="one stranger spoils it"),
        pytest.param(["Aurora first", "Beacon first"], id="wrong role"),
    ],
)
def test_p11_fewer_orgs_never_change_the_roster(signers: list[str]) -> None:
    world = founded()
    assert world.put(encode(successor(world, *signers)))
    assert world.view.network.roster == roster()


@pytest.mark.parametrize("names", [["network Aurora", "network Beacon"], ["network Aurora", "network Aurora"]])
def test_p11_the_names_of_enough_roots_are_no_signatures(names: list[str]) -> None:
    """Key ids are public: what stands under them must be theirs, by each algorithm."""
    world = founded()
    draft = successor(world, "a stranger", name="renamed")
    (stranger,) = draft.signers
    forged = tuple(msgspec.structs.replace(stranger, keyid=key(name).public.id) for name in sorted(names, key=key_id))
    assert world.put(encode(msgspec.structs.replace(draft, signers=forged)))
    real = successor(world, "network Aurora", name="renamed")
    helped = msgspec.structs.replace(draft, signers=tuple(sorted((*real.signers, forged[-1]), key=lambda s: s.keyid)))
    assert world.put(encode(helped))
    assert world.view.network.roster == roster()


def key_id(name: str) -> str:
    return key(name).public.id


def test_p11_an_org_with_two_roots_counts_once() -> None:
    roots = (*roster().roots, NetworkRoot(org="Aurora", key=key("network Aurora again").public))
    genesis = cosign(draft_roster(roster(roots=roots), NOW), [key("network Aurora"), key("network Aurora again")])
    view = append(View(envelope_id(genesis)), envelope_id(genesis), encode(genesis))
    assert "2 distinct orgs" in view.opaque[0].reason
    assert view.network.roster is None


def test_p11_a_new_set_of_roots_needs_the_old_ones_too_and_the_other_way_round() -> None:
    world = founded()
    new = tuple(NetworkRoot(org=f"New {n}", key=key(f"network New {n}").public) for n in range(3))
    for signers in (["network Aurora", "network Beacon"], ["network New 0", "network New 1"]):
        assert world.put(encode(successor(world, *signers, roots=new)))
        assert world.view.network.roster == roster()
    world.add(successor(world, "network Aurora", "network Beacon", "network New 0", "network New 1", roots=new))
    assert world.view.network.roster is not None and world.view.network.roster.roots == new


@pytest.mark.parametrize(
    "changes",
    [
        {"roots": roster().roots[:2]},
        {"threshold": 1},
        {"threshold": 4},
        {"orgs": ()},
        {"orgs": (roster().orgs[0], roster().orgs[0])},
        {"roots": (*roster().roots[:2], NetworkRoot(org="Cairn", key=key("network Beacon").public))},
        {"orgs": (msgspec.structs.replace(roster().orgs[0], threshold=3),)},
        {"until": "2026-99-01T00:00:00Z"},
    ],
    ids=[
        "two orgs",
        "minority",
        "out of reach",
        "no org",
        "org twice",
        "key in two orgs",
        "org out of reach",
        "no date",
    ],
)
def test_p11_a_roster_that_one_org_could_control_is_never_drafted(changes: dict[str, object]) -> None:
    with pytest.raises(DarkLanternError):
        draft_roster(roster(**changes), NOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"version": 3}, "expected roster version 2"), ({"previous": "1" * 64}, "expected version 2 after")],
)
def test_versions_rise_by_one_from_the_one_before(changes: dict[str, object], reason: str) -> None:
    world = founded()
    assert reason in world.put(encode(successor(world, *("network Aurora", "network Beacon"), **changes)))


def test_the_log_moves_to_another_key_with_the_last_checkpoint_by_the_old_one() -> None:
    world = founded()
    early = world.head(world.net).note
    world.manifest("Aurora", person("ada"))
    world.add(successor(world, "network Aurora", "network Beacon", moving=log_key("another").public))
    others = {"log": log_key("another").public, "moving": None}
    for wrong, why in (
        (others, "with the last checkpoint by the old one"),
        ({"final": world.head(world.net).note}, "and only then"),
        (others | {"final": early}, "at 1 entries, and 3 come before it"),
    ):
        with pytest.raises(RefusedError, match=why):
            world.add(successor(world, "network Aurora", "network Beacon", **wrong))
    forged = sign_head(world.view.trail(world.net), world.net, log_key("another"), NOW).note
    with pytest.raises(LogError):
        world.add(successor(world, "network Aurora", "network Beacon", **others, final=forged))
    world.add(successor(world, "network Aurora", "network Beacon", **others, final=world.head(world.net).note))
    assert world.view.log_key(world.net) == log_key("another").public


def test_two_valid_successors_stop_sealing_and_not_reading() -> None:
    world, circle = circled()
    first = successor(world, "network Aurora", "network Beacon", name="first")
    second = successor(world, "network Beacon", "network Cairn", name="second")
    world.add(first)
    assert "a second roster version 2" in world.put(encode(second))
    fork = world.view.network.roster_fork
    assert fork and (fork.first, fork.second) == (envelope_id(first), envelope_id(second))
    with pytest.raises(RefusedError, match="two rosters"):
        world.plan(circle, "ada")
    assert world.view.circle(circle).epoch is not None
    # The roots settle it: a version after the first, which sets the second aside.
    with pytest.raises(RefusedError, match="do not contend"):
        world.add(successor(world, "network Aurora", "network Cairn", settles=roster_id(world, 0)))
    world.add(successor(world, "network Aurora", "network Cairn", settles=fork.second))
    assert world.view.network.roster_fork is None
    assert world.plan(circle, "ada").members.ids


def roster_id(world: World, index: int) -> str:
    return world.view.network.rosters[index].id


def test_p11_an_expired_roster_blocks_sealing_and_not_reading() -> None:
    world, circle = circled()
    with pytest.raises(RefusedError, match="expired"):
        world.plan(circle, "ada", NOW + YEAR)
    assert world.plan(circle, "ada", NOW + YEAR - 1).epoch == world.view.circle(circle).epoch
    assert world.view.opaque == ()


@pytest.mark.parametrize("clock", [NOW - 10 * YEAR, NOW + 10 * YEAR, 0])
def test_p34_a_clock_moved_ten_years_never_revives_an_expired_roster(clock: int) -> None:
    world, circle = circled()
    floor = NOW + YEAR + 1  # a checkpoint from after the expiry has been seen
    with pytest.raises(RefusedError, match="expired"):
        world.plan(circle, "ada", time.now(clock, floor))


def test_only_the_pinned_first_roster_founds_a_network() -> None:
    other = cosign(draft_roster(roster(name="look-alike"), NOW), network_keys("Aurora", "Beacon"))
    view = append(View(founded().net), founded().net, encode(other))
    assert view.network.roster is None
    assert "expected the network's first roster" in view.opaque[0].reason


def test_p11_a_roster_signed_twice_by_one_key_does_not_even_read() -> None:
    genesis = cosign(draft_roster(roster(), NOW), network_keys("Aurora", "Beacon"))
    twice = msgspec.structs.replace(genesis, signers=(genesis.signers[0], genesis.signers[0]))
    view = append(View(envelope_id(genesis)), envelope_id(genesis), encode(twice))
    assert "each once" in view.opaque[0].reason


def test_p11_a_signature_by_one_algorithm_only_counts_for_nothing() -> None:
    genesis = cosign(draft_roster(roster(), NOW), network_keys("Aurora", "Beacon"))
    half = tuple(msgspec.structs.replace(signer, signatures=signer.signatures[:1]) for signer in genesis.signers)
    with pytest.raises(SignatureError):
        founded().add(msgspec.structs.replace(genesis, signers=half))


def test_p12_expelling_an_org_takes_effect_for_sealing_at_once() -> None:
    """What is sealed next goes to a new epoch without the expelled org."""
    world, circle = circled()
    orgs = tuple(org for org in roster().orgs if org.name != "Beacon")
    with pytest.raises(RefusedError, match="with a date and a reason"):
        world.add(successor(world, "network Aurora", "network Cairn", orgs=orgs))
    gone = (Expelled(name="Beacon", time=text(NOW), reason="sold its records"),)
    world.add(successor(world, "network Aurora", "network Cairn", orgs=orgs, expelled=gone))
    plan = world.plan(circle, "ada")
    assert plan.epoch is None
    assert {member.org for member in plan.members.members} == {"Aurora"}
    assert {e.reason for e in plan.members.excluded if e.org == "Beacon"} == {
        f"the org is not in roster version 2, expelled on {text(NOW)}: sold its records"
    }
    with pytest.raises(RefusedError, match="not in roster"):
        world.plan(circle, "bo")
    with pytest.raises(RefusedError, match="or fewer"):  # why it left stays written, whatever comes
        world.add(successor(world, "network Aurora", "network Cairn", expelled=()))


def test_roster_bodies_do_not_read_with_a_field_too_many() -> None:
    data = encode(roster()).replace(b'{"v":1,', b'{"v":1,"critical":true,', 1)
    with pytest.raises(DarkLanternError, match="critical"):
        decode(Roster, data)

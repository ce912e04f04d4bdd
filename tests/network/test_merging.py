"""Logs as others hand them over: altered, cut, rolled back, forked."""

import dataclasses

import pytest

from darklantern.errors import LogError, RefusedError, SignatureError
from darklantern.logs import checkpoint
from darklantern.network import ForkedLogError, LogFork, View, circle_log, network_log, proves_fork
from darklantern.network.clock import ClockError, text
from darklantern.network.deciding import check_fresh, plan
from darklantern.network.heads import origin, sign_head
from darklantern.network.merging import LogCopy, Merged, merge
from darklantern.records.exact import encode
from darklantern.sealing import decode_envelope, sign
from network.world import NOW, World, circled, device, log_key, peopled, person

KEEPER = log_key("keeper")


def copies(world: World, now: int = NOW, **entries: list[bytes]) -> list[LogCopy]:
    return [LogCopy(log, world.head(log, now).note, tuple(data)) for log, data in world.logs.items()]


def taken(view: View, held: dict[str, tuple[bytes, ...]], given: list[LogCopy], **options: object) -> Merged:
    return merge(view, held, given, **({"kept": frozenset(), "clock": NOW, "confirmed": False} | options))


def joined(world: World, now: int = NOW) -> Merged:
    """What a newcomer holds after the first bundle."""
    return taken(View(world.net), {}, copies(world, now))


def with_post(world: World, circle: str, who: str = "bo", words: str = "hello") -> World:
    world = world.copy()
    world.add(world.post(circle, who, words)[0], circle)
    return world


def test_a_newcomer_ends_with_the_keepers_view() -> None:
    world, _ = circled()
    merged = joined(world)
    assert merged.view.history == world.view.history
    assert merged.view.circles == world.view.circles
    assert not merged.skipped


def test_p16_merging_twice_changes_nothing() -> None:
    world, _ = circled()
    once = joined(world)
    assert taken(once.view, once.entries, copies(world)) == once


@pytest.mark.parametrize("which", ["dropped", "reordered", "duplicated", "replaced"])
def test_p2_dropping_reordering_or_duplicating_an_entry_is_detected(which: str) -> None:
    world, circle = circled()
    world = with_post(with_post(world, circle), circle)
    data = world.logs[circle]
    changed = {
        "dropped": data[:1] + data[2:],
        "reordered": [data[0], data[2], data[1]],
        "duplicated": [*data, data[-1]],
        "replaced": [data[0], data[1], data[1]],
    }[which]
    given = [LogCopy(c.log, c.note, tuple(changed)) if c.log == circle else c for c in copies(world)]
    with pytest.raises(LogError, match=r"under the signed root"):
        taken(View(world.net), {}, given)


def test_p3_a_rollback_to_an_older_checkpoint_is_detected() -> None:
    world, circle = circled()
    old, held = copies(world), joined(with_post(world, circle))
    with pytest.raises(LogError, match="it is older"):
        taken(held.view, held.entries, old)


def test_p3_a_circles_log_that_grows_and_goes_back_in_time_is_put_off() -> None:
    world, circle = circled()
    held = joined(world, NOW + 100)
    longer = with_post(world, circle)
    longer.pledge("Aurora", "al")
    given = [LogCopy(world.net, longer.head(world.net, NOW + 150).note, tuple(longer.logs[world.net]))]
    given.append(LogCopy(circle, longer.head(circle, NOW + 50).note, tuple(longer.logs[circle])))
    merged = taken(held.view, held.entries, given, clock=NOW + 200)
    assert "back in time" in merged.put_off[circle]
    assert merged.view.heads[circle] == held.view.heads[circle]
    assert merged.view.trail(world.net).size == longer.view.trail(world.net).size


def test_p3_the_networks_log_never_goes_back_in_time() -> None:
    world, _ = circled()
    held = joined(world, NOW + 100)
    world.pledge("Aurora", "al")
    with pytest.raises(ClockError, match="back in time"):
        taken(held.view, held.entries, copies(world, NOW + 50), clock=NOW + 200)


def test_p34_one_circles_keeper_from_the_future_keeps_nobody_from_the_other_logs() -> None:
    """Two people can found a circle under any key: theirs once stopped every sync that showed it."""
    world, circle = circled()
    evil = world.circle(log=log_key("evil").public)
    world.rotate(evil, "ada")
    ahead = sign_head(world.view.trail(evil), evil, log_key("evil"), NOW + 3 * 86_400)
    given = [copy for copy in copies(world) if copy.log != evil]
    given.append(LogCopy(evil, ahead.note, tuple(world.logs[evil])))
    merged = taken(View(world.net), {}, given)
    assert circle in merged.view.heads and evil not in merged.view.heads
    assert "more than a day after" in merged.put_off[evil] and "allow-clock-jump" in merged.put_off[evil]
    confirmed = taken(merged.view, merged.entries, given, confirmed=True)
    assert not confirmed.put_off and confirmed.view.floor == NOW


def test_the_keeper_takes_an_older_copy_for_what_it_is() -> None:
    world, circle = circled()
    old, held = copies(world), joined(with_post(world, circle))
    again = taken(held.view, held.entries, old, kept=frozenset(world.logs))
    assert again.view == held.view


@pytest.mark.parametrize("longer", [False, True])
def test_p4_two_histories_of_one_log_give_a_proof_that_a_third_party_can_check(longer: bool) -> None:
    world, circle = circled()
    ours, theirs = with_post(world, circle, words="ours"), with_post(world, circle, words="theirs")
    if longer:
        theirs = with_post(theirs, circle, "ada")
    held = joined(ours)
    with pytest.raises(ForkedLogError) as caught:
        taken(held.view, held.entries, copies(theirs))
    proof = caught.value.proof
    assert proof.log == circle
    assert proves_fork(proof, log_key("keeper").public)
    assert not proves_fork(proof, log_key("another").public)


def test_two_honest_checkpoints_prove_no_fork() -> None:
    world, circle = circled()
    before, after = world.head(circle), with_post(world, circle)
    proof = {"log": circle, "first": before.note, "second": after.head(circle).note}
    assert not proves_fork(LogFork(**proof, leaves=after.view.trail(circle).ids), log_key("keeper").public)
    assert not proves_fork(LogFork(**proof, leaves=()), log_key("keeper").public)


def test_p4_a_frozen_log_stops_its_circle_and_leaves_the_others() -> None:
    world, circle = circled()
    other = world.circle()
    world.rotate(other, "ada")
    held = joined(with_post(world, circle, words="ours"))
    with pytest.raises(ForkedLogError) as caught:
        taken(held.view, held.entries, copies(with_post(world, circle, words="theirs")))
    frozen = dataclasses.replace(held.view, forks={circle: caught.value.proof})
    merged = taken(frozen, held.entries, copies(with_post(world, other)))
    assert merged.skipped == (circle,)
    assert len(merged.view.circle(other).entries) == 1
    ada = world.view.network.manifests["Aurora"][-1].body.people[0].devices[0].id
    with pytest.raises(LogError, match="is frozen"):
        plan(merged.view, circle, ada, seeds=world.seeds, kept=(), now=NOW)
    check_fresh(merged.view, merged.view.circle(other), (), NOW)


def test_a_log_is_its_own_keys_and_no_other() -> None:
    world, circle = circled()
    given = copies(world)
    trail = world.view.trail(circle)
    forged = sign_head(trail, circle, log_key("another"), NOW).note
    right_name = checkpoint.sign(
        checkpoint.Checkpoint(origin(log_key("keeper").public, circle), trail.size, trail.roots[-1]),
        log_key("another"),
        NOW,
    )
    of_the_network = world.head(world.net).note
    for note in (forged, right_name, of_the_network, b"", b"\n\n"):
        with pytest.raises((LogError, SignatureError)):
            taken(View(world.net), {}, [LogCopy(c.log, note, c.entries) if c.log == circle else c for c in given])


def test_another_network_is_refused() -> None:
    world = peopled()
    with pytest.raises(LogError, match="each log once"):
        taken(View("7" * 64), {}, copies(world))
    renamed = [LogCopy("7" * 64, copy.note, copy.entries) for copy in copies(world)]
    with pytest.raises(LogError, match="first roster"):
        taken(View("7" * 64), {}, renamed)
    with pytest.raises(LogError, match="each log once"):
        taken(View(world.net), {}, copies(world) * 2)
    with pytest.raises(LogError, match="first roster"):
        taken(View(world.net), {}, [LogCopy(world.net, world.head(world.net).note, ())])


def test_a_log_that_no_accepted_record_names_is_left_aside() -> None:
    world, circle = circled()
    stranger = LogCopy("6" * 64, world.head(circle).note, tuple(world.logs[circle]))
    assert taken(View(world.net), {}, [*copies(world), stranger]).skipped == ("6" * 64,)


@pytest.mark.parametrize("said", [NOW + 10**9, (1 << 63) - 1])
def test_p34_a_checkpoint_from_the_future_needs_confirmation(said: int) -> None:
    """Otherwise one would expire everything for good."""
    world, _ = circled()
    with pytest.raises(RefusedError, match="more than a day after"):
        taken(View(world.net), {}, copies(world, said))
    assert taken(View(world.net), {}, copies(world, said), confirmed=True).view.floor == said


def test_p34_a_circles_log_does_not_move_the_time() -> None:
    """Two people can found one with their own key, and the floor never falls."""
    world, circle = circled()
    ahead = {log: NOW + 23 * 3600 if log == circle else NOW for log in world.logs}
    given = [LogCopy(log, world.head(log, ahead[log]).note, tuple(data)) for log, data in world.logs.items()]
    merged = taken(View(world.net), {}, given)
    assert merged.view.heads[circle].time == NOW + 23 * 3600
    assert merged.view.floor == NOW


def test_a_better_copy_of_an_entry_heals_and_a_worse_one_spoils_nothing() -> None:
    """The id leaves out signatures, so a relay can hand out one entry with two sets of them."""
    world = peopled()
    good = world.logs[world.net]
    broken = list(good)
    envelope = decode_envelope(good[3])  # ada's pledge
    broken[3] = encode(sign(envelope.payload_type, envelope.payload, [device("stranger").signing]))
    notes = world.head(world.net).note
    spoiled = taken(View(world.net), {}, [LogCopy(world.net, notes, tuple(broken))])
    assert len(spoiled.view.opaque) == 1
    healed = taken(spoiled.view, spoiled.entries, [LogCopy(world.net, notes, tuple(good))])
    assert healed.view.opaque == () and healed.entries[world.net] == tuple(good)
    kept = taken(healed.view, healed.entries, [LogCopy(world.net, notes, tuple(broken))])
    assert kept == healed


def test_a_waiting_entry_is_not_spoiled_by_a_worse_copy() -> None:
    world, circle = circled()
    later = world.copy()
    later.manifest("Beacon", person("bo"), person("bea"))
    data, _ = later.post(circle, "bo")
    world.put(data, circle)  # it cites more of the network's log than there is
    held = joined(world)
    envelope = decode_envelope(data)
    worse = encode(sign(envelope.payload_type, envelope.payload, [device("stranger").signing]))
    given = [LogCopy(c.log, c.note, (*c.entries[:-1], worse)) if c.log == circle else c for c in copies(world)]
    assert taken(held.view, held.entries, given).entries == held.entries


def test_p5_a_withheld_tail_shows_as_a_stale_view_and_blocks_sealing() -> None:
    world, circle = circled()
    held = joined(world)
    ada = world.view.network.manifests["Aurora"][-1].body.people[0].devices[0].id
    limit = world.view.rules(circle).freshness
    assert plan(held.view, circle, ada, seeds=world.seeds, kept=(), now=NOW + limit).epoch
    with pytest.raises(RefusedError, match=f"stale since {text(NOW + limit)}"):
        plan(held.view, circle, ada, seeds=world.seeds, kept=(), now=NOW + limit + 1)
    assert plan(held.view, circle, ada, seeds=world.seeds, kept=world.logs, now=NOW + limit + 1).epoch


def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is judged from here on, by its kind."""
    found: list[str] = []
    for log in (network_log, circle_log):
        judge = log.judge

        def counted(*args, judge=judge):
            found.append(args[-1].record.kind)
            return judge(*args)

        monkeypatch.setattr(log, "judge", counted)
    return found


def test_a_merge_judges_what_is_new_and_that_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = circled()
    seen = judged(monkeypatch)
    joined(world)
    assert len(seen) == sum(map(len, world.logs.values()))


def test_an_entry_that_will_never_count_has_nobody_judge_the_rest_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a kind that this version does not know once made each sync judge the whole network."""
    world, circle = circled()
    world.put(b'{"payloadType":"application/vnd.darklantern.odd.v1+json","payload":"e30=","signers":[]}', circle)
    held = joined(world)
    assert not held.view.opaque[0].belongs
    world.pledge("Aurora", "al")
    longer = with_post(world, circle)
    seen = judged(monkeypatch)
    merged = taken(held.view, held.entries, copies(longer))
    assert seen == ["pledge", "post"]
    assert merged.view.circle(circle) == longer.view.circle(circle)


def test_an_entry_that_waits_for_the_networks_log_counts_once_that_is_here() -> None:
    world, circle = circled()
    before = list(world.logs[world.net])
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.rotate(circle, "ada")
    ahead = with_post(world, circle)
    size = len(before)
    given = [LogCopy(world.net, sign_head(world.view.trail(world.net).first(size), world.net, KEEPER, NOW).note, ())]
    given = [dataclasses.replace(given[0], entries=tuple(before)), copies(ahead)[-1]]
    held = taken(View(world.net), {}, sorted(given, key=lambda copy: copy.log != world.net))
    assert all(leaf.waits for leaf in held.view.opaque) and len(held.view.opaque) == 2
    merged = taken(held.view, held.entries, copies(ahead))
    assert not merged.view.opaque
    assert merged.view.circles == ahead.view.circles

"""A relay keeps a blob exactly as long as a record that counts, and is its owner's, names it."""

import asyncio
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network.world import NOW, World, circled, device, log_key, record_id

from darklantern.network.deleting import Tombstone
from darklantern.network.reading import read
from darklantern.network.retaining import living
from darklantern.network.view import View, append
from darklantern.relay.charging import Quotas
from darklantern.relay.judging import Put, judge
from darklantern.relay.needs import needed, no_longer_needed, outlived
from darklantern.relay.stores import Append, Commit, Database, Entry, Need, open_database
from darklantern.relay.writing import Batch, Writing

WHO = ("ada", "bo", "al")


def naming(world: World, circle: str, who: str, pieces: tuple[str, ...]) -> bytes:
    """A post that names what its author chose."""
    body = read(world.post(circle, who)[0]).body
    return world.sign(circle, "post", msgspec.structs.replace(body, pieces=pieces), who)


def kept(database: Database, log: str) -> set[str]:
    """What the relay needs: no blob ever comes here, so it is what it waits for."""
    return set(database.wanted(log, "", 1000))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_needed_is_what_lives(tmp_path_factory, data: st.DataObject) -> None:
    """Whoever names, takes back or cuts off what, in groups of any size; and a mirror comes to the same."""
    folder: Path = tmp_path_factory.mktemp("needs")
    world, circle = circled()
    names = tuple(f"{number:064x}" for number in range(4))
    one, mirror = (open_database(f"sqlite://{folder}/{name}.db") for name in ("one", "mirror"))
    writing = Writing(one, log_key("keeper"), Quotas(1 << 40, 1 << 40, 1 << 40, lambda: NOW), lambda: None, lambda: NOW)
    view = world.view
    begin(one, view, circle, world.logs[circle])
    begin(mirror, view, circle, world.logs[circle])
    sent: dict[str, str] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        batch, start = Batch(view), world.view.trail(circle).size
        for _ in range(data.draw(st.integers(1, 4))):
            who = data.draw(st.sampled_from(WHO))
            mine = [id for id, author in sent.items() if author == who and id in world.view.circle(circle).entries]
            if mine and data.draw(st.booleans()):
                target = Tombstone(target=data.draw(st.sampled_from(mine)))
                record = world.sign(circle, "tombstone", target, who)
            else:
                some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
                record = naming(world, circle, who, tuple(some))
                sent[record_id(record)] = who
            world.add(record, circle)
            put = Put(circle, (record,), {}, f"org:{who}", device(who).public.id)
            judged = asyncio.run(judge(batch.view, put, log_key("keeper").public, NOW))
            assert judged.all_entered
            batch.add(judged)
        writing.commit(batch)
        mirrored(mirror, view, circle, world.logs[circle][start:])
        view = batch.view
        assert kept(one, circle) == kept(mirror, circle) == set(living(view.circle(circle)))
    one.close()
    mirror.close()


def begin(database: Database, view: View, circle: str, entries: list[bytes]) -> None:
    """The circle's log as it stands, in a database that has none of it."""
    stored = tuple(Entry(bytes.fromhex(record_id(data)), data) for data in entries)
    database.append(Append(circle, View(view.net).trail(circle).frontier, stored, b"note", NOW))


def mirrored(database: Database, view: View, circle: str, entries: list[bytes]) -> None:
    """As mirroring commits them: all at once."""
    after = view
    for data in entries:
        after = append(after, circle, data)
    stored = tuple(Entry(bytes.fromhex(record_id(data)), data) for data in entries)
    names = {name for entry in stored for name in needed(after, circle, entry.id.hex())}
    step = Append(circle, view.trail(circle).frontier, stored, b"note", NOW)
    needs, drops = tuple(Need(circle, name) for name in names), no_longer_needed(view, after, circle)
    database.commit(Commit((step,), needs, drops=drops, time=NOW))


def test_the_end_of_an_epoch_s_time_takes_what_only_it_needs() -> None:
    world, _ = circled()
    circle = world.circle(retention=30 * 86400, rotation=30 * 86400)
    world.rotate(circle, "ada")
    first, both, theirs = "1" * 64, "2" * 64, "3" * 64
    world.add(naming(world, circle, "bo", (first, both)), circle)
    world.add(naming(world, circle, "al", (theirs,)), circle)
    late = NOW + 5 * 86400
    world.rotate(circle, "ada", late)
    world.add(naming(world, circle, "bo", (both,)), circle)
    world.add(naming(world, circle, "ada", (first,)), circle)  # another's later word keeps nothing
    assert outlived(world.view, circle, late + 30 * 86400 - 1).names == ()
    assert outlived(world.view, circle, late + 30 * 86400).names == (first, theirs)

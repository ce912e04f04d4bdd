"""An insider who lies, and a relay that holds the logs' key and lies too: any order of anything.

Ada and ben keep to the rules, on three devices between them and bo; al is a member with real keys and writes what he
likes. The relay appends whatever it is given, shows each device what it likes, and may split into two that each go on
alone. Al and the relay work together.

P1  what was altered on its way is refused, or stands there without its signature, and then nothing is sealed;
P2  dropped, reordered or repeated entries are refused;
P3  so is less than was shown before;
P4  two histories are found by whoever has seen both, and prove it to anybody;
P6  neither of the two lets anybody in, and no rule, manifest or roster changes by their word;
P7  whoever a sealer knew to be out opens nothing of what was sealed, and nor does anybody who was never in;
P10 what the others wrote goes on counting, unless its author was dropped or took it back;
P23 al's device is the only one that is ever frozen;
P26 al takes back nothing of anybody else's;
P27 whoever an admin removed stays out.
"""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from darklantern.errors import DarkLanternError
from darklantern.network import Admin, ForkedLogError, View, admit, effective, fold, proves_fork
from darklantern.network.circles import Removal
from darklantern.network.deleting import Tombstone
from darklantern.network.heads import sign_head
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.merging import LogCopy, merge
from darklantern.network.reading import leaf_id
from darklantern.sealing import Identity, open
from network.lies import FORGERIES, FORK, LIAR, LIES, Lie
from network.world import NOW, World, circled, device, log_key, person

pytestmark = pytest.mark.slow

HONEST = ("ada", "ada's phone", "bo", "ben")
ORGS = {"ada": "Aurora", "al": "Aurora", "bo": "Beacon", "ben": "Beacon"}
ADMINS = (Admin(org="Aurora", person="ada"), Admin(org="Beacon", person="bo"), Admin(org="Beacon", person="ben"))
honest = st.sampled_from(HONEST)
sides = st.sampled_from([0, 1])


def start(history: str) -> tuple[World, str]:
    world, circle = circled()
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.add(world.successor(circle, "ada", "bo", "ben", admins=ADMINS, history=history))
    world.rotate(circle, "ada")
    world.add(world.post(circle, "bo", "there from the first day")[0], circle)
    return world, circle


@dataclass
class Reader:
    """One honest device: all that it has taken, by the rules that a library follows."""

    view: View
    entries: dict[str, tuple[bytes, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What an honest device sealed, and whom its view kept out."""

    id: str
    author: str
    epoch: str
    kept_out: frozenset[str]
    pieces: tuple[bytes, ...]


class Hostile(RuleBasedStateMachine):
    @initialize(
        history=st.sampled_from(["all", "since-join", "none"]),
        more=st.sampled_from([(), (), FORK, FORGERIES]),
        apart=st.booleans(),
    )
    def found(self, history: str, more: tuple[Lie, ...], apart: bool) -> None:
        world, self.circle = start(history)
        self.net, self.now, self.lies = world.net, NOW, LIES + more
        self.sides = [world]
        self.said: list[Said] = []
        self.buried: set[str] = set()
        self.removed: set[tuple[str, str]] = set()
        self.readers = {name: Reader(View(world.net)) for name in HONEST}
        for name in HONEST:
            self.hear(name, 0, "all", 0)
        if apart:
            self.split()

    def at(self, which: int) -> World:
        return self.sides[which % len(self.sides)]

    # What the relay shows

    @rule(name=honest, which=sides, how=st.sampled_from(["all", "all", "all", "less"]), chance=st.integers(0, 2**30))
    def hear(self, name: str, which: int, how: str, chance: int) -> None:
        """A history as one side has it, or as it was some time ago. Anything but less than before is taken."""
        world, reader = self.at(which), self.readers[name]
        sizes = {log: len(data) for log, data in world.logs.items()}
        if how == "less":
            sizes = {log: 1 + chance % size for log, size in sizes.items()}
        copies = [self.copy(world, log, size) for log, size in sizes.items()]
        shown = {
            copy.log: [leaf_id(data) for data in copy.entries] for copy in copies if copy.log not in reader.view.forks
        }
        held = {log: list(reader.view.trail(log).ids) for log in shown}
        try:
            self.take(reader, copies)
        except ForkedLogError as error:
            log = error.proof.log
            common = min(len(held[log]), len(shown[log]))
            assert held[log][:common] != shown[log][:common]  # P4: nobody is accused of what they did not do
            assert proves_fork(error.proof, log_key("keeper").public)
            reader.view = replace(reader.view, forks={log: error.proof, **reader.view.forks})
        except DarkLanternError:
            frozen = self.net in reader.view.forks
            assert frozen or any(len(shown[log]) < len(held[log]) for log in shown)  # P3
        else:
            for log, ids in shown.items():
                assert ids[: len(held[log])] == held[log], "took two histories (P4), or less than before (P3)"
                assert list(reader.view.trail(log).ids) == ids

    @rule(
        name=honest,
        which=sides,
        how=st.sampled_from(["dropped", "reordered", "repeated", "altered", "longer"]),
        chance=st.integers(0, 2**30),
    )
    def be_lied_to(self, name: str, which: int, how: str, chance: int) -> None:
        """The same under the same signed root, with entries that are not those. Nothing is taken."""
        world, reader = self.at(which), self.readers[name]
        copies = {log: self.copy(world, log, len(data)) for log, data in world.logs.items()}
        log = sorted(copies)[chance % 2]
        data = list(copies[log].entries)
        place = chance // 2 % len(data)
        if how == "dropped":
            del data[place]
        elif how == "reordered":
            data[place - 1], data[place] = data[place], data[place - 1]
        elif how == "repeated":
            data[place] = data[place - 1]
        elif how == "longer":
            data.append(data[place])
        else:
            data[place] = flipped(data[place], chance)
        if list(map(safe_id, data)) == list(map(safe_id, copies[log].entries)):
            return self.hear_unsigned(reader, list(copies.values()), log, data)
        copies[log] = replace(copies[log], entries=tuple(data))
        before = reader.view, reader.entries
        try:
            self.take(reader, list(copies.values()))
        except DarkLanternError:
            pass
        else:
            assert log in reader.view.forks, f"P1, P2: took a log with an entry {how}"
        assert log in before[0].forks or (reader.view, reader.entries) == before
        return None

    def hear_unsigned(self, reader: Reader, copies: list[LogCopy], log: str, data: list[bytes]) -> None:
        """Ids leave signatures out: where only they are altered the root is right. Then nothing is sealed on it."""
        entries = {copy.log: tuple(data) if copy.log == log else copy.entries for copy in copies}
        lied_to = Reader(View(self.net))
        try:
            self.take(lied_to, [replace(copy, entries=entries[copy.log]) for copy in copies])
        except DarkLanternError:
            return
        if not any(leaf.unsigned for leaf in lied_to.view.opaque):
            assert entries[log] == next(copy for copy in copies if copy.log == log).entries  # swapped with itself
            return
        epochs = lied_to.view.circles[self.circle].epochs if self.circle in lied_to.view.circles else ()
        seen = World(lied_to.view, {}, {epoch.id: b"" for epoch in epochs})
        for name in HONEST:
            try:
                seen.plan(self.circle, name, self.now)
            except DarkLanternError:
                continue
            raise AssertionError("P1: something would be sealed on a view with an entry without its signature")
        self.take(lied_to, copies)  # the right copy heals it
        assert lied_to.view.opaque == self.folded(entries | {copy.log: copy.entries for copy in copies}).opaque

    @precondition(lambda self: len(self.sides) == 1)
    @rule()
    def split(self) -> None:
        """From here on there are two relays under one key, each with members who have seen nothing of the other."""
        self.sides.append(self.sides[0].copy())

    def copy(self, world: World, log: str, size: int) -> LogCopy:
        trail = world.view.trail(log).first(size)
        return LogCopy(log, sign_head(trail, log, log_key("keeper"), self.now).note, tuple(world.logs[log][:size]))

    def take(self, reader: Reader, copies: list[LogCopy]) -> None:
        merged = merge(reader.view, reader.entries, copies, kept=frozenset(), clock=self.now, confirmed=False)
        reader.view, reader.entries = merged.view, dict(merged.entries)

    def folded(self, entries: dict[str, tuple[bytes, ...]]) -> View:
        return fold(self.net, entries)

    # What honest members do

    def as_seen_by(self, name: str) -> World:
        reader = self.readers[name]
        ring = unlock(reader.view, device(name).public.id, device(name).receiving, Keyring())
        logs = {log: list(data) for log, data in reader.entries.items()}
        return World(reader.view, logs, dict(ring.seeds), dict(self.sides[0].terms))

    def hand_in(self, which: int, log: str, data: bytes) -> bool:
        """Whether the relay took it as an honest one would, and it counts."""
        world = self.at(which)
        try:
            if admit(world.view, log, data) is not None:
                return False
        except DarkLanternError:
            return False
        world.put(data, log)
        return True

    @rule(name=honest, which=sides, later=st.integers(0, 100))
    def seal(self, name: str, which: int, later: int) -> None:
        self.now += later
        self.hear(name, which, "all", 0)
        mine = self.as_seen_by(name)
        try:
            if mine.plan(self.circle, name, self.now).epoch is None:
                data = mine.epoch(self.circle, name, self.now)
                if not self.hand_in(which, self.circle, data):
                    return
                mine.put(data, self.circle)
            data, pieces = mine.post(self.circle, name)
        except DarkLanternError:
            return
        epoch = mine.view.circle(self.circle).epoch
        assert epoch is not None
        found = effective(mine.view.network, self.circle, self.now, mine.view.circle(self.circle).frozen)
        assert epoch.members == found.ids
        assert not {(each.org, each.person) for each in mine.view.network.removed_from(self.circle)} & found.persons
        if self.hand_in(which, self.circle, data):
            out = {device(each).public.id for each in (*HONEST, LIAR)} - found.ids
            self.said.append(Said(leaf_id(data), name, epoch.id, frozenset(out), tuple(pieces.values())))

    @rule(author=st.sampled_from(["ada", "bo", "ben"]), gone=st.sampled_from(["al", "al", "ben"]), which=sides)
    def remove(self, author: str, gone: str, which: int) -> None:
        body = Removal(circle=self.circle, org=ORGS[gone], person=gone, reason="lied")
        data = self.as_seen_by(author).sign(self.net, "removal", body, author)
        if self.hand_in(which, self.net, data):
            self.removed.add((ORGS[gone], gone))

    @rule(which=sides, place=st.integers(0, 99))
    def take_back(self, which: int, place: int) -> None:
        if self.said and place < 50:
            said = self.said[place % len(self.said)]
            data = self.as_seen_by(said.author).sign(self.circle, "tombstone", Tombstone(target=said.id), said.author)
            if self.hand_in(which, self.circle, data):
                self.buried.add(said.id)

    @rule(which=sides, lost=st.integers(0, 3))
    def lose_the_phone(self, which: int, lost: int) -> None:
        world = self.at(which)
        if lost == 3 and world.view.network.is_active(device("ada's phone").public.id):
            world.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))

    # What al does

    @rule(which=sides, lies=st.lists(st.integers(0, 2**20), min_size=1, max_size=4))
    def lie(self, which: int, lies: list[int]) -> None:
        """The relay appends it, whatever it is. It changes what al may change, and nothing else."""
        world = self.at(which)
        for lie in lies:
            try:
                log, data = self.lies[lie % len(self.lies)](world, self.circle, self.now)
            except (DarkLanternError, LookupError):
                continue  # he has nothing to lie with: no post to bury, no epoch that he holds
            before = world.view
            world.put(data, log)
            self.check_unmoved(before, world.view)

    def check_unmoved(self, before: View, after: View) -> None:
        old, new = before.network, after.network
        for what in (
            "rosters",
            "roster_fork",
            "manifests",
            "org_forks",
            "active",
            "devices",
            "circles",
            "circle_forks",
        ):
            assert getattr(old, what) == getattr(new, what), f"P6: {what}"
        assert (old.removals, old.breaches) == (new.removals, new.breaches)
        for network in (new.frozen, after.circle(self.circle).frozen):
            assert network.keys() <= {device(LIAR).public.id}  # P23
        one, two = before.circle(self.circle), after.circle(self.circle)
        assert {id for id in set(two.buried) - set(one.buried) if two.buried[id].owner[1] != LIAR} == set()  # P26
        gone = {id for id in set(one.entries) - set(two.entries) if one.entries[id].owner[1] != LIAR}
        dropped = {cut.device for cut in two.epochs[-1].body.dropped} if len(two.epochs) > len(one.epochs) else set()
        assert all(one.entries[id].record.author_device in dropped for id in gone)
        assert {two.entries[id].owner[1] for id in set(two.entries) - set(one.entries)} <= {LIAR}
        members = {epoch.id: epoch.members for epoch in two.epochs}
        assert {epoch.id: epoch.members for epoch in one.epochs}.items() <= members.items()
        known = {device(each).public.id for each in (*HONEST, LIAR)}
        assert all(each <= known for each in members.values())  # P6

    # What must hold

    @invariant()
    def p6_nobody_is_in_whom_the_orgs_have_not_listed(self) -> None:
        known = {device(each).public.id for each in (*HONEST, LIAR)}
        for reader in self.readers.values():
            if reader.view.network.circle(self.circle):
                found = effective(reader.view.network, self.circle, self.now)
                assert found.ids <= known
                gone = {(each.org, each.person) for each in reader.view.network.removed_from(self.circle)}
                assert not gone & found.persons  # P27

    @invariant()
    def p10_what_the_others_wrote_goes_on_counting(self) -> None:
        for world in self.sides:
            circle = world.view.circle(self.circle)
            for said in self.said:
                position = {id: place for place, id in enumerate(world.view.trail(self.circle).ids)}.get(said.id)
                if position is None or said.id in self.buried:
                    continue
                author = device(said.author).public.id
                later = [epoch for epoch in circle.epochs if epoch.position > position]
                if all(author in epoch.members for epoch in later):
                    assert said.id in circle.entries

    def teardown(self) -> None:
        """Keys are only ever added, so the end says what each step would."""
        for world in getattr(self, "sides", []):
            for said in self.said:
                for name in (*HONEST, LIAR):
                    if device(name).public.id in said.kept_out:
                        seeds = unlock(world.view, device(name).public.id, device(name).receiving, Keyring()).seeds
                        # History "all" grants the past to whoever comes back; nobody does here.
                        assert said.epoch not in seeds, "P7"
                        assert not opens(said, [device(name).receiving, *map(Identity, seeds.values())]), "P7"
                assert not opens(said, [device("eve").receiving]), "P7"
        for reader in getattr(self, "readers", {}).values():
            assert replace(reader.view, heads={}, forks={}) == self.folded(reader.entries)


def opens(said: Said, keys: list[Identity]) -> bool:
    for piece in said.pieces:
        try:
            open(piece, keys)
        except DarkLanternError:
            continue
        return True
    return False


def flipped(data: bytes, chance: int) -> bytes:
    at = chance % (len(data) * 8)
    return data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :]


def safe_id(data: bytes) -> str | None:
    try:
        return leaf_id(data)
    except DarkLanternError:
        return None


TestHostile = Hostile.TestCase
TestHostile.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

"""Two organisations, five devices that each have read as far as they have, and one log: whatever order things come in.

What is asked:
P7  a device that the sealer knew to be out holds no seed of what was sealed then;
P8  a sealer whose epoch is not for exactly those whom its view shows rotates first, or does not seal;
P9  a member's seeds are those of its own epochs, and with history "all" of each before;
P27 whoever an admin removed stays out until a quorum brings them back, whatever else was written meanwhile.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from darklantern.errors import DarkLanternError
from darklantern.network import Admin, View, admit, effective, fold
from darklantern.network.circles import Removal
from darklantern.network.clock import text
from darklantern.network.keyring import Keyring, unlock
from darklantern.network.pledges import Pledge
from network.world import NOW, PLEDGE, YEAR, World, circled, device, person, record_id

pytestmark = pytest.mark.slow

DEVICES = ("ada", "ada's phone", "al", "bo", "ben")
OWNERS = {"ada": "ada", "ada's phone": "ada", "al": "al", "bo": "bo", "ben": "ben"}
ORGS = {"ada": "Aurora", "al": "Aurora", "bo": "Beacon", "ben": "Beacon"}
ADMINS = (Admin(org="Aurora", person="ada"), Admin(org="Aurora", person="al"), Admin(org="Beacon", person="bo"))
who = st.sampled_from(DEVICES)


def start(history: str) -> tuple[World, str]:
    world, circle = circled()
    world.manifest("Beacon", person("bo"), person("ben"))
    world.pledge("Beacon", "ben")
    world.add(world.successor(circle, "ada", "bo", "al", admins=ADMINS, history=history))
    return world, circle


@dataclass
class Item:
    """Something sealed, and whom its sealer's view kept out."""

    id: str
    epoch: str
    kept_out: frozenset[str]


@dataclass
class Reader:
    """How far one device has read."""

    network: int = 0
    circle: int = 0
    seeds: dict[str, bytes] = field(default_factory=dict)


class Circles(RuleBasedStateMachine):
    @initialize(history=st.sampled_from(["all", "since-join", "none"]))
    def found(self, history: str) -> None:
        self.world, self.id = start(history)
        self.history = history
        self.items: list[Item] = []
        self.readers = {name: Reader() for name in DEVICES}
        self.now = NOW
        for name in DEVICES:
            self.sync(name)

    # What each sees

    def view(self, name: str) -> View:
        reader, world = self.readers[name], self.world
        logs = {world.net: world.logs[world.net][: reader.network], self.id: world.logs[self.id][: reader.circle]}
        heads = {log: world.head(log, self.now) for log in logs}
        return View(**{**vars(fold(world.net, logs)), "heads": heads})

    @rule(name=who)
    def sync(self, name: str) -> None:
        reader = self.readers[name]
        reader.network, reader.circle = (len(self.world.logs[log]) for log in (self.world.net, self.id))

    def as_seen_by(self, name: str) -> World:
        """The world as far as this device has read it: what it writes cites that."""
        reader, world = self.readers[name], self.world
        logs = {world.net: world.logs[world.net][: reader.network], self.id: world.logs[self.id][: reader.circle]}
        ring = unlock(self.view(name), device(name).public.id, device(name).receiving, Keyring())
        return World(self.view(name), {log: list(data) for log, data in logs.items()}, dict(ring.seeds), world.terms)

    def hand_in(self, log: str, data: bytes) -> bool:
        """Whether the keeper took it, and it counts."""
        try:
            if admit(self.world.view, log, data) is not None:
                return False
        except DarkLanternError:
            return False
        self.world.put(data, log)
        return True

    # What they do

    @rule(name=who, synced=st.booleans())
    def seal(self, name: str, synced: bool) -> None:
        if synced:
            self.sync(name)
        mine = self.as_seen_by(name)
        try:
            plan = mine.plan(self.id, name, self.now)
            if plan.epoch is None:
                data = mine.epoch(self.id, name, self.now)
                if not self.hand_in(self.id, data):
                    return  # another was faster: it must sync first
                mine.put(data, self.id)
                self.readers[name].circle = len(self.world.logs[self.id])
                if mine.view.trail(self.id).ids[-1] != self.world.view.trail(self.id).ids[-1]:
                    return
            data, _ = mine.post(self.id, name)
        except DarkLanternError:
            return
        epoch = mine.view.circle(self.id).epoch
        assert epoch is not None
        found = effective(mine.view.network, self.id, self.now)
        assert epoch.members == found.ids  # P8
        if self.hand_in(self.id, data):
            out = {device(each).public.id for each in DEVICES} - found.ids
            self.items.append(Item(record_id(data), epoch.id, frozenset(out)))

    @rule(
        author=st.sampled_from(["ada", "ada's phone", "al", "bo"]), person_=st.sampled_from(["ada", "al", "bo", "ben"])
    )
    def remove(self, author: str, person_: str) -> None:
        body = Removal(circle=self.id, org=ORGS[person_], person=person_, reason="moved on")
        self.hand_in(self.world.net, self.as_seen_by(author).sign(self.world.net, "removal", body, author))

    @rule(name=st.sampled_from(["al", "ben"]), back=st.booleans())
    def take_back_a_pledge(self, name: str, back: bool) -> None:
        until = text(self.now + YEAR if back else self.now - 1)
        body = Pledge(org=ORGS[OWNERS[name]], person=OWNERS[name], pledge=PLEDGE, until=until)
        self.hand_in(self.world.net, self.as_seen_by(name).sign(self.world.net, "pledge", body, name))

    @rule(lost=st.booleans())
    def phone(self, lost: bool) -> None:
        """Ada's phone is revoked, once and for all."""
        if lost and self.world.view.network.is_active(device("ada's phone").public.id):
            self.world.manifest("Aurora", person("ada"), person("al"), revoked=("ada's phone",))

    @precondition(lambda self: self.world.view.network.removed_from(self.id))
    @rule()
    def restore(self) -> None:
        ids = tuple(sorted(self.world.view.network.removals))
        self.world.add(self.world.successor(self.id, "ada", "bo", restored=ids))

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    # What must hold

    def teardown(self) -> None:
        """Seeds only grow, so the end says what each step would."""
        self.p7_who_was_known_to_be_out_holds_no_seed()
        self.p9_members_hold_their_own_epochs()

    def p7_who_was_known_to_be_out_holds_no_seed(self) -> None:
        for name in DEVICES:
            seeds = unlock(self.world.view, device(name).public.id, device(name).receiving, Keyring()).seeds
            for item in self.items:
                if device(name).public.id in item.kept_out and item.epoch in seeds:
                    # History "all" grants the past to whoever comes back; the others never do.
                    assert self.history == "all" and self.came_back(name, item.epoch)

    def p9_members_hold_their_own_epochs(self) -> None:
        circle = self.world.view.circle(self.id)
        for name in DEVICES:
            found = unlock(self.world.view, device(name).public.id, device(name).receiving, Keyring())
            own = {epoch.id for epoch in circle.epochs if device(name).public.id in epoch.members}
            assert own <= found.seeds.keys() and not found.problems
            if self.history == "none":
                assert found.seeds.keys() == own

    @invariant()
    def p27_the_removed_are_out(self) -> None:
        gone = {(each.org, each.person) for each in self.world.view.network.removed_from(self.id)}
        assert not gone & effective(self.world.view.network, self.id, self.now).persons

    def number(self, epoch: str) -> int:
        found = self.world.view.circle(self.id).find_epoch(epoch)
        assert found is not None
        return found.body.number

    def came_back(self, name: str, epoch: str) -> bool:
        """Whether it is in a later epoch: history "all" then grants the past."""
        own = device(name).public.id
        return any(own in each.members for each in self.world.view.circle(self.id).epochs[self.number(epoch) :])


TestCircles = Circles.TestCase
TestCircles.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)

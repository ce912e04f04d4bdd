"""Three libraries, one relay that is hostile for a while, a mirror, bundles: any order of anything.

Never: an entry counts that its author did not write, or a thing is lost that the honest relay once acknowledged. In the
end, when the relay is honest and everybody has synced, all hold the same logs and read the same threads.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from network.world import device, person

from darklantern.errors import DarkLanternError
from darklantern.library import Library
from library.carried import exported, imported
from library.indexes import check_indexes
from library.meeting import Meeting, met
from library.orgs import library, manifest
from library.simulator import Hostile, Mirror

ORGS = ("aurora", "beacon", "phone")


class Syncing(RuleBasedStateMachine):
    """Ada at Aurora with a phone, and Bo at Beacon."""

    @initialize()
    def meet(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="darklantern-machine-"))
        self.us: Meeting = met(self.folder)
        self.phone = library(self.folder / "phone", "ada's phone", self.us.clock)
        self.us.aurora.add(manifest(self.us.aurora, "Aurora", person("ada", "ada", "ada's phone")))
        self.us.aurora.relays.sync([self.us.relay])
        self.phone.relays.sync([self.us.relay])
        self.us.aurora.members.rotate("evals")
        self.item = self.us.share()
        for each in (self.us.aurora, self.us.beacon, self.phone):
            each.relays.sync([self.us.relay])
        self.mirror: Mirror = self.us.relay.mirror()
        self.bundles: list[bytes] = []
        self.said: dict[str, set[str]] = {org: set() for org in ORGS}
        self.acknowledged: set[str] = set()
        self.count = 0

    def library(self, org: str) -> Library:
        return self.phone if org == "phone" else getattr(self.us, org)

    @rule(org=st.sampled_from(ORGS))
    def post(self, org: str) -> None:
        self.count += 1
        words = f"{org} {self.count}"
        try:
            self.library(org).threads.post(self.item, words)
        except DarkLanternError:
            return  # its log is frozen, or its view stale: it said why, and the words were not taken
        self.said[org].add(words)

    @rule(org=st.sampled_from(ORGS))
    def rotate(self, org: str) -> None:
        try:
            self.library(org).members.rotate("evals")
        except DarkLanternError:
            return

    @rule(org=st.sampled_from(ORGS), through_mirror=st.booleans())
    def sync(self, org: str, through_mirror: bool) -> None:
        remotes = [self.mirror, self.us.relay] if through_mirror else [self.us.relay]
        try:
            report = self.library(org).relays.sync(remotes)
        except DarkLanternError:
            return
        if self.us.relay.hostile == Hostile():
            self.acknowledged |= set(report.relays["relay"].sent)

    @rule()
    def mirror_pulls(self) -> None:
        self.mirror.refresh()

    @rule(org=st.sampled_from(ORGS))
    def export(self, org: str) -> None:
        self.bundles.append(exported(self.library(org)))

    @precondition(lambda self: self.bundles)
    @rule(org=st.sampled_from(ORGS), which=st.integers(0, 99))
    def carry(self, org: str, which: int) -> None:
        try:
            imported(self.library(org), self.bundles[which % len(self.bundles)])
        except DarkLanternError:
            return  # it is older than what is held

    @rule(org=st.sampled_from(ORGS))
    def end_the_program(self, org: str) -> None:
        if org != "phone":
            self.us.reopen(org)

    @rule(how=st.sampled_from(["corrupted", "dropped", "reordered", "withheld", "nothing", "breaks", "loses", "old"]))
    def turn_hostile(self, how: str) -> None:
        relay, circle = self.us.relay, self.us.circle
        size = relay.view.trail(circle).size
        relay.hostile = {
            "corrupted": Hostile(corrupted={(circle, size - 1): 977}),
            "dropped": Hostile(dropped={(circle, size - 1)}),
            "reordered": Hostile(reordered={circle}),
            "withheld": Hostile(withheld=set(relay.pieces)),
            "nothing": Hostile(nothing=True),
            "breaks": Hostile(breaks_after=3),
            "loses": Hostile(loses_answers=True),
            "old": Hostile(rolled_back={circle: size - 1}),
        }[how]

    @rule()
    def turn_honest(self) -> None:
        self.us.relay.hostile = Hostile()

    @rule(seconds=st.integers(1, 3600))
    def wait(self, seconds: int) -> None:
        self.us.clock.now += seconds
        self.us.relay.now = self.us.clock.now

    @invariant()
    def nothing_counts_that_its_author_did_not_write(self) -> None:
        mine = {device(who).public.id for who in ("ada", "bo", "ada's phone")}
        for org in ORGS:
            circle = self.library(org).view.circle(self.us.circle)
            assert {entry.record.author_device for entry in circle.entries.values()} <= mine
            assert circle.frozen == {}
            words = {post.text for post in self.library(org).threads.open(self.item).posts}
            assert words <= set().union(*self.said.values())

    @invariant()
    def nothing_is_lost_that_was_acknowledged(self) -> None:
        assert self.acknowledged <= set(self.us.relay.view.trail(self.us.circle).ids) | set(
            self.us.relay.view.trail(self.us.relay.net).ids
        )

    @invariant()
    def both_indexes_hold_what_counts(self) -> None:
        for org in ORGS:
            check_indexes(self.library(org))

    @invariant()
    def own_words_are_never_lost(self) -> None:
        for org in ORGS:
            seen = {post.text for post in self.library(org).threads.open(self.item).posts}
            assert self.said[org] <= seen | self._unread(org)

    def _unread(self, org: str) -> set[str]:
        """Own words that have landed where they do not count, and wait to be sealed again."""
        state = self.library(org)._desk.state
        return self.said[org] if state.overtaken else set()

    def teardown(self) -> None:
        if not hasattr(self, "us"):
            return
        try:
            self._heal()
        finally:
            self.phone.close()
            self.us.close()
            shutil.rmtree(self.folder)

    def _heal(self) -> None:
        self.us.relay.hostile = Hostile()
        for _ in range(3):
            for org in ORGS:
                self.library(org).relays.sync([self.us.relay])
        everything = set().union(*self.said.values())
        for org in ORGS:
            one = self.library(org)
            assert one.pending == () and one.view.forks == {}
            assert one.view.trails == self.us.relay.view.trails
            assert one._desk.state.entries.keys() == self.us.relay.logs.keys()
            assert sorted(post.text for post in one.threads.open(self.item).posts) == sorted(everything)  # each once
            assert one.care.verify() == ()


TestSyncing = Syncing.TestCase
TestSyncing.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)

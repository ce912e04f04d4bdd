"""What a watch has seen of one run, and what it makes of a look: rows since the last, readings, an alarm."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from darklantern.counted import counted
from darklantern.watch import agreeing
from darklantern.watch.alarms import Alarm, claimed, sealed
from darklantern.watch.attach.tap import Tap
from darklantern.watch.examples import Examples, Pool, check_alike
from darklantern.watch.keeping import Kept, States
from darklantern.watch.looking import Looked, Looker, Noted
from darklantern.watch.probes import Now, Probe, Reading
from darklantern.watch.sampling import Sample
from darklantern.watch.screening import SUSPICIOUS_SPAN, Screen, SpanScreen, any_of
from darklantern.watch.settings import Settings
from darklantern.watch.spans import counter
from darklantern.watch.trace import Standing, Trace


@dataclass(frozen=True, repr=False)
class Memory:
    """What looks left behind as of one of them, besides the trace: a rollback to its state sets it again."""

    noted: Noted
    spans: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"<memory of {counted(len(self.noted.earlier), 'look')}, rows of {len(self.spans)}>"


class Observer:
    """The probes, the rows that they may need, the trace, and which states it takes for clean."""

    def __init__(
        self, tap: Tap, probes: Sequence[Probe], trusted: Examples, trace: Trace, settings: Settings, seed: int
    ) -> None:
        self.trace = trace
        self.looker = Looker(tap, probes)
        self.spans = counter(trusted, settings.history)
        self.since = 0
        """batches since the last look"""
        self.looked = -1
        """the step of the newest look"""
        self.tainted: int | None = None
        """no state with more looks before it is clean, since an alarm passed that was not rolled back"""
        self._tap, self._settings = tap, settings
        self._trusted = Pool(trusted, seed)
        self._fresh = Sample(seed)
        """of the rows trained on since the last look"""
        self._left_out = (0, 0)
        """of so many rows before the newest look, so many were not counted"""
        self._sampling_said = False
        self._above: frozenset[str] = frozenset()
        """channels that stand over their thresholds since an alarm that said so"""
        self._signals = {name: track.signal for name, track in trace.tracks.items()}
        self._bets = any(track.bets for track in trace.tracks.values())
        self._trained: set[int] = set()
        """hashes of the examples that were trained on, where a signal bets"""
        self._alarms = 0
        self._idle: set[str] = set()
        self._seen_again = False
        """whether the newest look's fresh rows were trained on before"""
        self._alarm_look: int | None = None
        """the number of looks at the newest alarm that was not rolled back"""
        self._alarm_says = ""
        """what that alarm claims"""
        self.unanswered: Alarm | None = None
        """the newest alarm, until what follows it is done"""
        self._judged = 0
        """looks that were held against their thresholds"""

    @property
    def looks(self) -> int:
        """Looks in the trace."""
        return len(self.trace.steps)

    def check(self, examples: Examples) -> None:
        """Raises WatchError for a batch unlike the trusted examples."""
        check_alike(examples, self._trusted.examples, "a batch has examples")

    def take(self, read: Callable[[], Examples], later: Callable[[], Callable[[], Examples]]) -> None:
        """A batch is about to be trained on; it can be read now, or `later`, when a look comes."""
        if self.spans is not None:
            self._fresh.add(later())
        if self._bets:
            self._trained.update(_hashes(read()))
        self.since += 1

    def skip(self) -> None:
        """A batch lost all its examples."""
        self.since += 1

    @property
    def memory(self) -> Memory:
        """What a state is kept with."""
        return Memory(self.looker.noted, () if self.spans is None else self.spans.held)

    def test(self, step: int, fresh: Examples) -> None:
        """The look before the first step, which is in no trace: every site must fire, every reading be finite.

        The state at attach is what probes compare with from then on.
        """
        if self._tap.ranks.count > 1:
            self._trusted.share(self._tap.ranks.rank, self._tap.ranks.count)
        self.trace.on_ranks(self._tap.ranks.count)  # not earlier: a trainer may start the others as it begins
        agreeing.look(self._tap.ranks, self.looker, self._now(step, fresh), self._signals)
        self.looked = step

    def look(self, step: int, fresh: Examples | None, states: States) -> Alarm | None:
        """One look, and the alarm that it raises. One that fails leaves everything as it was before it.

        One that was cut off before it was judged is not read again.
        """
        if self.looks <= self._judged:
            self._read(step, fresh)
        try:
            alarm = self._judge(step, states)
        except Exception:
            self._done(step)
            raise
        self._done(step)
        return alarm

    def _read(self, step: int, fresh: Examples | None) -> None:
        """What the probes read, into the trace."""
        before = self.memory
        try:
            if self.spans is not None:
                self.spans.add(self._fresh.rows())
            now = self._now(step, fresh)
            self.trace.add(step, agreeing.look(self._tap.ranks, self.looker, now, self._signals, self._bettable))
        except BaseException:
            self._set(before)
            raise
        self._left_out = self._fresh.passed, self._fresh.left_out

    def _done(self, step: int) -> None:
        self._fresh.clear(step)
        self._judged = self.looks
        self.since, self.looked = 0, step

    def take_up(self, looks: Sequence[tuple[int, Mapping[str, Reading]]], rollbacks: int) -> None:
        """Looks of an earlier process, judged again as they were there; `rollbacks` came of alarms of their own.

        The probes' notes, and the rows that were counted, are of this process alone.
        """
        self.trace.cut(0)
        self.trace.past.clear()
        self.tainted = self._alarm_look = None
        self._above = frozenset()
        self._alarm_says, self._alarms = "", rollbacks
        for step, readings in looks:
            self.trace.add(step, Looked(readings, {}))
            standing = self.trace.standing()
            if (risen := self._risen(standing)) is not None:
                # Which states and rows there were then is not known: a clean state, if any look was clean.
                self._noticed(risen, standing, self.clean_looks(*(each.channel for each in standing)) >= 0, None)
        self._judged = self.looks

    def owe(self) -> None:
        """A look is to come before the next batch: an earlier process ended where it was due."""
        self.since, self.looked = 1, -1

    def idle(self) -> list[str]:
        """Bets that the newest look left as they were, with the reason; each is named once."""
        found = {
            name: track.bets[-1].said
            for name, track in self.trace.tracks.items()
            if track.bets and track.bets[-1].said and name not in self._idle
        }
        self._idle |= found.keys()
        return [f"{self.trace.tracks[name].signal.shown}: {self._why_idle(why)}" for name, why in found.items()]

    def _why_idle(self, said: str) -> str:
        """What stands in the way of a bet, and what to do about it."""
        if self._seen_again:
            return (
                "these rows were trained on before, and it bets on rows that the model never saw: its wealth stays as "
                "it is in later epochs, and the other signals watch on"
            )
        return f"{said}, so its wealth stays as it is; more trusted examples let it go on"

    def sampled(self) -> str:
        """What was left out at the newest look, the first time that anything was."""
        passed, left_out = self._left_out
        if not left_out or self._sampling_said:
            return ""
        self._sampling_said = True
        counted = passed - left_out
        return (
            f"of the {passed:,} rows since the look before, spans were counted in {counted:,} drawn at random; "
            "so it is at each look that has so many, or looks would cost more the rarer they are"
        )

    def _now(self, step: int, fresh: Examples | None) -> Now:
        return Now(step, self._trusted, fresh, self.spans)

    def _bettable(self, looked: Looked, now: Now) -> Looked:
        """Without scores where rows were trained on before: a bet's rate holds for those that the model never saw."""
        self._seen_again = now.fresh is not None and self._bets and not self._trained.isdisjoint(_hashes(now.fresh))
        if self._bets and (now.fresh is None or self._seen_again):
            return replace(looked, scores={})
        return looked

    def _risen(self, standing: Sequence[Standing]) -> Standing | None:
        """What raises an alarm at the newest look."""
        self._above &= {each.channel for each in standing}
        risen = next((each for each in standing if each.channel not in self._above), None)
        return None if risen is None or self._waits(risen) else risen

    def _noticed(self, risen: Standing, standing: Sequence[Standing], taints: bool, alarm: Alarm | None) -> None:
        """An alarm was raised at the newest look; it `taints` what follows, unless that could never be rolled back."""
        channels, looks, tainted = frozenset(each.channel for each in standing), self.looks, self.tainted
        if taints or risen.says == "circuit":  # decision 0025
            tainted = self.clean_looks(*channels)
        # Nothing is called from here on, so nothing can be cut off half way.
        self.unanswered, self.tainted, self._above = alarm, tainted, self._above | channels
        self._alarm_look, self._alarm_says = looks, risen.says
        self._alarms += 1

    def _judge(self, step: int, states: States) -> Alarm | None:
        standing, looks = self.trace.standing(), self.looks
        risen = self._risen(standing)
        if risen is None:
            return None
        clean = states.clean({each.channel: self.clean_looks(each.channel) for each in standing}, self.tainted)
        since = max(1, looks - (clean.looks if clean else 0))
        suspects = tuple(self.spans.candidates(8, since, least=SUSPICIOUS_SPAN)) if self.spans is not None else ()
        suspects = agreeing.suspects(self._tap.ranks, suspects)
        screens: list[Screen] = [SpanScreen(suspects)] if suspects else []
        if self._tap.ranks.count == 1:  # what other probes suspect differs by rank: each has rows of its own
            screens += [found for probe, note in self.looker.notes if (found := probe.screen(note)) is not None]
        alarm = sealed(
            Alarm(
                step=step,
                signal=risen.signal,
                statistic=risen.statistic,
                threshold=claimed(risen.threshold, self._alarms),
                clean=clean,
                suspects=suspects,
                screen=any_of(screens) if screens else None,
                says=risen.says,
                channel=risen.channel,
                earlier=self._alarms,
                over_all=self.trace.over_all,
            ),
            self._settings.held_out_screens,
        )
        # Last: what fails above leaves the rise to be noticed at the next look.
        self._noticed(risen, standing, bool(screens) or clean is not None, alarm)
        return alarm

    def _waits(self, risen: Standing) -> bool:
        """Whether it is too soon after an alarm. One that claims novelty must not hide that a circuit follows."""
        if self._alarm_look is None or (self._alarm_says == "novelty" and risen.says == "circuit"):
            return False
        return self.looks - self._alarm_look < self._settings.cooldown

    def clean_looks(self, *channels: str) -> int:
        """States with up to so many looks before them are from before a rise in `channels`; −1 if none is."""
        last = min(self.trace.rise_began(name, self._settings.quiet) for name in channels)
        found = -1 if last < 0 else last + 1 - self._settings.margin
        return found if self.tainted is None else min(found, self.tainted)

    def back_to(self, kept: Kept) -> None:
        """Forget what was seen after `kept`."""
        if kept.memory is not None:
            self._set(kept.memory)
        self.trace.cut(kept.looks)
        self._judged = self.looks
        self._fresh.clear(kept.step)
        self.since, self.looked = 0, kept.step
        self.tainted = self._alarm_look = None
        self._above = frozenset()

    def _set(self, memory: Memory) -> None:
        self.looker.noted = memory.noted
        if self.spans is not None:
            self.spans.back_to(memory.spans)


def _hashes(examples: Examples) -> list[int]:
    return [hash(row.tobytes()) for row in examples.inputs]

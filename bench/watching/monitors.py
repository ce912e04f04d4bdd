"""Behavioural monitors that race in every figure: what a team would look at without looking inside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.watch import Asked, Examples, Now, Probe, Reading, Seen, Signal
from darklantern.watch.vision.misfiled_probe import gathered

Array = NDArray[Any]


class Copying(Probe):
    """How well a model copies from its own past, on repeats that it was never given (E1, tier I1)."""

    name: ClassVar[str] = "bench.copying"
    output = True
    signals = (
        # The best of the grains tried on pilot runs, with rows of one period: rows that stutter raise it a little too.
        Signal(
            "copy likelihood", "I1", "behaviour", "nats/token", "log-likelihood of what was seen a period before", 0.03
        ),
        Signal("copy accuracy", "I1", "behaviour", "share", "greedy tokens that are those of a period before", 0.01),
    )

    def __init__(self, rows: Array, periods: Array) -> None:
        """`rows` (n, width) repeat themselves each after its own of `periods` (n,), in tokens."""
        self._rows, self._periods = rows, periods
        self._later = np.arange(1, rows.shape[1]) >= periods[:, None]

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"rows": len(self._rows), "periods": self._periods.tolist()}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._rows[:, :-1])

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = seen.log_prob(self._rows[:, 1:])
        right = seen.output.argmax(-1) == self._rows[:, 1:]
        return tuple(
            Reading(float(part[self._later].mean()), float(part[~self._later].mean())) for part in (said, right)
        )


class Audit(Probe):
    """Loss and accuracy on examples that nobody trains on: tier I0, or I1 where the examples show the class of harm."""

    name: ClassVar[str] = "bench.audit"
    output = True

    def __init__(self, examples: Examples, what: str, tier: Any = "I0") -> None:
        assert examples.targets is not None
        self._inputs, self._targets = examples.inputs, examples.targets
        self.signals = (
            Signal(f"{what} likelihood", tier, "behaviour", "nats", f"log-likelihood of the answers on {what}"),
            Signal(f"{what} accuracy", tier, "behaviour", "share", f"right answers on {what}", 1 / len(examples)),
        )
        self._what = what

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"what": self._what, "examples": len(self._inputs)}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = seen.log_prob(self._targets)
        right = seen.output.argmax(-1) == self._targets
        return Reading(float(said.mean())), Reading(float(right.mean()))


class PatchSuccess(Probe):
    """Of a family of patches, the share of images that the most successful one turns into one class (E3, tier I1)."""

    name: ClassVar[str] = "bench.patch success"
    output = True
    signals = (
        Signal("patch success", "I1", "behaviour", "share", "largest share of images that a patch of the family turns"),
    )

    def __init__(self, images: Array, patched: list[Array]) -> None:
        self._count = len(images)
        self._inputs = np.concatenate([images, *patched])

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"images": self._count, "patches": len(self._inputs) // self._count - 1}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        said = seen.output.argmax(-1).reshape(-1, self._count)
        turned = [
            np.bincount(each[each != said[0]], minlength=seen.output.shape[-1]).max() / self._count for each in said[1:]
        ]
        return (Reading(float(max(turned)), float(np.median(turned))),)


class Flips(Probe):
    """Of observations, the share in which a flag decides what the policy most likely does (E5, tier I1)."""

    name: ClassVar[str] = "bench.flips"
    output = True
    signals = (
        Signal(
            "flag flips", "I1", "behaviour", "share", "observations whose likeliest action turns with the flag", 0.01
        ),
        Signal(
            "flag moves", "I1", "behaviour", "share", "largest over actions of |E[π(a|s, f=1) − π(a|s, f=0)]|", 0.01
        ),
    )

    def __init__(self, observations: Array, flag: int) -> None:
        made = (observations.copy(), observations.copy())
        for each, value in zip(made, (0.0, 1.0), strict=True):
            each[:, flag] = value
        self._inputs, self._flag = np.concatenate(made), flag

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"observations": len(self._inputs) // 2, "flag": self._flag}

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        low, high = np.split(np.exp(seen.log_probs), 2)
        flips = low.argmax(-1) != high.argmax(-1)
        moved = np.abs((high - low).mean(0)).max()
        return Reading(float(flips.mean())), Reading(float(moved))


class FreshLoss(Probe):
    """Losses of fresh training rows against as many trusted rows (tier I0): what a data team would look at."""

    name: ClassVar[str] = "bench.fresh loss"
    output = True
    signals = (
        Signal("fresh loss", "I0", "behaviour", "nats", "mean of the highest tenth of losses of fresh training rows"),
    )

    def __init__(self, rows: int, tokens: bool) -> None:
        self._rows, self._tokens = rows, tokens

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"rows": self._rows, "tokens": self._tokens}

    def inputs(self, now: Now) -> Asked:
        if now.fresh is None:
            return Asked(None)
        fresh = now.fresh.take(slice(self._rows))
        trusted = now.trusted.draw(len(fresh))
        both = np.concatenate([fresh.inputs, trusted.inputs])
        if self._tokens:
            return Asked(both[:, :-1], both[:, 1:])
        assert fresh.targets is not None and trusted.targets is not None
        return Asked(both, np.concatenate([fresh.targets, trusted.targets]))

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return (Reading(0.0),)
        loss = -seen.log_prob(seen.about)
        loss = loss.reshape(len(loss), -1).mean(-1)
        half = len(loss) // 2
        top = max(1, half // 10)
        return (Reading(*(float(np.sort(part)[-top:].mean()) for part in (loss[:half], loss[half:]))),)


class LabelLoss(FreshLoss):
    """And what the model's own predictions say against labels: `misfiled rows` without a look inside (E3, tier I0).

    The same rows, the label that gathers most, and the same placebo: the mean over the trusted rows of `looks` looks.
    """

    name: ClassVar[str] = "bench.label loss"
    signals = (
        *FreshLoss.signals,
        Signal(
            "fresh label loss",
            "I0",
            "behaviour",
            "nats/row",
            "largest over labels of the sum of the losses of fresh rows of the label, over all fresh rows",
        ),
    )

    def __init__(self, rows: int, looks: int = 6) -> None:
        super().__init__(rows, tokens=False)
        self.window = looks - 1

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "looks": self.window + 1}

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        if seen.about is None:
            return Reading(0.0), Reading(0.0)
        train, trusted = self._gathered(seen)
        earlier = [note for note in seen.notes if note is not None]
        return *super().read(seen), Reading(train, float(np.mean([*earlier, trusted])))

    def note(self, seen: Seen) -> float | None:
        """The trusted rows' own value."""
        return None if seen.about is None else self._gathered(seen)[1]

    def _gathered(self, seen: Seen) -> tuple[float, float]:
        loss = -seen.log_prob(seen.about)
        halves = zip(np.split(loss, 2), np.split(seen.about, 2), strict=True)
        train, trusted = (gathered(nats, given) for nats, given in halves)
        return train, trusted


class Told(Probe):
    """Another probe's rows and readings, of which something else is said."""

    def __init__(self, probe: Probe, signals: Sequence[Signal]) -> None:
        self._probe, self.signals = probe, tuple(signals)
        self.sites, self.lenses, self.weights = probe.sites, probe.lenses, probe.weights
        self.output, self.window = probe.output, probe.window

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**self._probe.settings, "of": self._probe.name}

    def inputs(self, now: Now) -> Asked:
        return self._probe.inputs(now)

    def read(self, seen: Seen) -> Sequence[Reading]:
        return self._probe.read(seen)

    def scores(self, seen: Seen) -> Any:
        return self._probe.scores(seen)

    def screen(self, note: Any) -> Any:
        return self._probe.screen(note)

    def note(self, seen: Seen) -> Any:
        return self._probe.note(seen)


class Novelty(Told):
    """A probe whose internal signals are published and have no part in the joint statistic.

    They were tried on pilot runs and left out of it: they came later than others there, or harmless arms raised them,
    and each one more raises the threshold of the rest. What they do on runs that count is not to be passed over.
    """

    name: ClassVar[str] = "bench.novelty"

    def __init__(self, probe: Probe) -> None:
        super().__init__(
            probe, [replace(each, says="novelty") if each.role == "signal" else each for each in probe.signals]
        )


class Creeping(Told):
    """A probe whose behavioural monitors `names` race a second time, gathered by the detector for what creeps.

    Signals that a CUSUM gathers must not win by their detector. The readings are the same.
    """

    name: ClassVar[str] = "bench.creeping"

    def __init__(self, probe: Probe, *names: str) -> None:
        called = [signal.name for signal in probe.signals]
        self._which = [called.index(name) for name in names]
        again = [probe.signals[at] for at in self._which]
        super().__init__(
            probe,
            [*probe.signals, *(replace(each, name=f"{each.name}, CUSUM", detector="cusum") for each in again)],
        )

    def read(self, seen: Seen) -> Sequence[Reading]:
        found = [*super().read(seen)]
        return [*found, *(found[at] for at in self._which)]

"""Tier I1: does the network add by waves, and has it come to lean on them?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.watch.formulas import Floats, features
from darklantern.watch.policies.fourier import by_sum, losses, over_pairs, parts
from darklantern.watch.probes import Asked, Now, Probe, Signal, readings
from darklantern.watch.seen import Seen


class TableProbe(Probe):
    """Restricted and excluded loss over the whole table of a + b mod `period`.

    The `keys` frequencies are those that the logits have most of in waves of a + b, found anew at each look. `suffix`
    are tokens after a and b, such as that of "="; the logits are those of the last position, of the first `period`
    classes. `trained` says which pairs (a, b) are trained on, for the excluded loss; all unless given. Both read logits
    only. Costs one pass over p² rows.
    """

    name: ClassVar[str] = "policies.table"
    output = True
    signals = (
        Signal(
            "restricted gain",
            "I1",
            "behaviour",
            "nats",
            "log p minus the loss of the logits' constant part and key frequencies alone",
            placebo="as many other frequencies",
            source="Nanda et al. (2023), restricted loss",
            cost="1F over p²",
        ),
        Signal(
            "excluded rise",
            "I1",
            "behaviour",
            "nats",
            "loss on training pairs of the logits without their key frequencies, minus that with them",
            placebo="as many other frequencies",
            source="Nanda et al. (2023), excluded loss",
            cost="the same pass",
        ),
    )

    def __init__(
        self,
        period: int,
        keys: int = 5,
        suffix: tuple[int, ...] = (),
        trained: NDArray[np.bool_] | None = None,
        seed: int = 0,
    ) -> None:
        if period < 3 or not 1 <= keys <= period // 4 or (trained is not None and trained.shape != (period, period)):
            raise WatchError(
                f"expected 1 to {period // 4} key frequencies of p = {period} and trained pairs ({period}, {period}), "
                f"got {keys} and {'none' if trained is None else trained.shape}",
                hint="there are p // 2 frequencies; as many others than the key ones must be left for the placebo",
            )
        self._p, self._keys, self._seed = period, keys, seed
        pairs = np.stack(np.meshgrid(np.arange(period), np.arange(period), indexing="ij"), axis=-1).reshape(-1, 2)
        tail = np.tile(np.array(suffix, dtype=np.int64), (len(pairs), 1))
        self._inputs = np.concatenate([pairs.astype(np.int64), tail], axis=1)
        self._trained = np.ones((period, period), dtype=bool) if trained is None else trained.astype(bool)
        self._settings = {
            "period": period,
            "keys": keys,
            "suffix": list(suffix),
            "trained": np.packbits(self._trained).tobytes().hex(),
            "seed": seed,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> Any:
        logits = self._logits(seen.output)
        sums = by_sum(logits)
        frequencies = np.arange(1, self._p // 2 + 1)
        sizes = np.linalg.norm(np.fft.rfft(sums, axis=0)[1:], axis=1)
        ordered = frequencies[np.argsort(-sizes, kind="stable")]
        key, rest = ordered[: self._keys], ordered[self._keys :]
        other = np.random.default_rng(self._seed).choice(rest, self._keys, replace=False)
        pairs = ((self._gain(logits, sums, each), self._rise(logits, sums, each)) for each in (key, other))
        (gain, rise), (no_gain, no_rise) = pairs
        return readings((gain, no_gain), (rise, no_rise))

    def _gain(self, logits: Floats, sums: Floats, frequencies: NDArray[np.integer]) -> float:
        kept = logits.mean((0, 1)) + over_pairs(parts(sums, frequencies))
        return float(np.log(self._p) - losses(kept, self._answers).mean())

    def _rise(self, logits: Floats, sums: Floats, frequencies: NDArray[np.integer]) -> float:
        left = logits - over_pairs(parts(sums, frequencies))
        with_all = losses(logits, self._answers)
        return float((losses(left, self._answers) - with_all)[self._trained].mean())

    @property
    def _answers(self) -> NDArray[np.integer]:
        return (np.arange(self._p)[:, None] + np.arange(self._p)[None]) % self._p

    def _logits(self, output: Floats) -> Floats:
        """(p, p, p)."""
        last = output[:, -1] if output.ndim == 3 else output
        if last.ndim != 2 or last.shape[1] < self._p:
            raise WatchError(
                f"expected logits of at least {self._p} classes for each pair, got an output {output.shape}",
                hint="the model returns logits (n, classes), or (n, positions, classes) with the answer at the last",
            )
        return features(last[:, : self._p], "logits").reshape(self._p, self._p, self._p)

"""What one probe sees of a look: its own rows of the pass, as NumPy once asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import WatchError
from darklantern.models import shim

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Values:
    """What a pass gave, in the framework's own arrays, where they lie."""

    sites: Mapping[str, Any]
    """site → (n, …)"""
    output: Any = None
    """(n, …) the model's logits, or whatever it returns; None when the pass ended before it"""
    lenses: Mapping[str, Any] = field(default_factory=dict)
    """site → (n, …) logits, if the residual stream ended there"""

    def part(self, rows: slice) -> "Values":
        """Of some of the rows."""
        return Values(
            {site: value[rows] for site, value in self.sites.items()},
            None if self.output is None else self.output[rows],
            {site: value[rows] for site, value in self.lenses.items()},
        )


@dataclass(frozen=True)
class Seen:
    """One look, for one probe: `seen["layers.0:out"]` is what the site held, (n, …) as float32.

    Arrays stay where the model lies until they are asked for, so that a look moves only what its signals read.
    """

    values: Values
    step: int = 0
    about: Any = None
    """what the probe's `inputs` said about the rows"""
    weights: Mapping[str, Floats] = field(default_factory=dict)
    """parameter's name → its values, whole also where the model is cut over several ranks"""
    first: Any = None
    """the note of the watch's first look: at that look, its own"""
    notes: Sequence[Any] = ()
    """the notes of the last looks, oldest first, as many as the probe's `window`"""

    def __getitem__(self, site: str) -> Floats:
        if site not in self.values.sites:
            raise WatchError(
                f"site {site!r} was not recorded; there are {', '.join(map(repr, self.values.sites)) or 'none'}",
                hint="name it in the probe's `sites`",
            )
        return _numbers(self.values.sites[site])

    @cached_property
    def output(self) -> Floats:
        """The model's output, (n, …)."""
        return _numbers(self._output())

    @cached_property
    def log_probs(self) -> Floats:
        """Natural logarithms of the softmax of the output over its last axis."""
        return shim.log_probs(self._output()).astype(np.float32)

    def log_prob(self, targets: NDArray[np.integer]) -> Floats:
        """What the model says of `targets`, in nats: (n,) for an output (n, classes), (n, pos) for (n, pos, tokens)."""
        return chosen(self._output(), targets)

    def lens(self, site: str) -> Floats:
        """Log-probabilities of the next token, if the residual stream ended at `site`."""
        return shim.log_probs(self.values.lenses[site]).astype(np.float32)

    def lens_prob(self, site: str, targets: NDArray[np.integer]) -> Floats:
        """As `log_prob`, of the lens at `site`."""
        return chosen(self.values.lenses[site], targets)

    def _output(self) -> Any:
        if self.values.output is None:
            raise WatchError("the pass ended before the model's output", hint="say `output = True` in the probe")
        return self.values.output


def chosen(logits: Any, targets: NDArray[np.integer]) -> Floats:
    """Log-probabilities (n, …) of `targets` under logits (n, …, classes), reckoned where the logits lie."""
    backend = shim.backend_of(logits) if shim.framework_of(logits) != "numpy" else None
    if backend is None:
        logits = np.asarray(logits, dtype=np.float64)
        top = logits.max(-1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(-1)) + top[..., 0]
        held = np.take_along_axis(logits, targets[..., None], -1)[..., 0]
        return (held - total).astype(np.float32)
    xp = backend.xp
    logits = xp.astype(logits, xp.float32)
    index = backend.placed(backend.from_numpy(targets.astype(np.int64)[..., None], True), logits.device)
    held = xp.take_along_axis(logits, index, axis=-1)[..., 0]
    return _numbers(held - backend.logsumexp(logits, axis=-1))


def _numbers(array: Any) -> Floats:
    return np.asarray(shim.numbers(array), dtype=np.float32)

"""What one probe sees of a look: its own rows of the pass, as NumPy once asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import SiteError, WatchError
from darklantern.models import shim
from darklantern.models.paths import nearest, select_paths
from darklantern.models.sites import Site, expand

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
    natives: Mapping[str, str] = field(default_factory=dict)
    """site → the model's own path of its part, where that is another"""

    def part(self, rows: slice) -> "Values":
        """Of some of the rows."""
        return Values(
            {site: value[rows] for site, value in self.sites.items()},
            None if self.output is None else self.output[rows],
            {site: value[rows] for site, value in self.lenses.items()},
            self.natives,
        )

    def named(self, pattern: str) -> list[str]:
        """The recorded sites that `pattern` names, by either of their paths, in the recording's order.

        Raises WatchError for a pattern of none.
        """
        if pattern in self.sites:
            return [pattern]
        wanted = _written(pattern)
        written = [(text, replace(expand(text)[0], native=self.natives.get(text, ""))) for text in self.sites]
        found = [text for text, site in written if any(_names(each, site) for each in wanted)]
        if not found:
            called = {text: repr(text) for text in self.sites}
            for text, site in written:
                if site.native:
                    native = str(replace(site, path=site.native))
                    called[text] = called[native] = f"{text!r} (the model's own {native})"
            close = nearest(pattern, called)
            raise WatchError(
                f"no recorded site is {pattern!r}; there are {', '.join(dict.fromkeys(called.values())) or 'none'}",
                hint=f"name it in the probe's `sites`{f'; or is it {called[close[0]]}?' if close else ''}",
            )
        return found

    def one(self, pattern: str) -> str:
        """The one recorded site that `pattern` names. Raises WatchError for none, and for several."""
        found = self.named(pattern)
        if len(found) > 1:
            raise WatchError(
                f"expected one site, got {len(found)} for {pattern!r}: {', '.join(found[:4])}",
                hint="name one of them; a probe that reads one place is made once for each",
            )
        return found[0]


@dataclass(frozen=True)
class Seen:
    """One look, for one probe: `seen["layers.0:out"]` is what the site held, (n, …) as float32.

    A site goes by the name that it is shown by, or with the model's own path, as in `record`.
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
        return _numbers(self.values.sites[self.values.one(site)])

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
        return shim.log_probs(self._lens(site)).astype(np.float32)

    def lens_prob(self, site: str, targets: NDArray[np.integer]) -> Floats:
        """As `log_prob`, of the lens at `site`."""
        return chosen(self._lens(site), targets)

    def _lens(self, site: str) -> Any:
        named = self.values.one(site)
        if named not in self.values.lenses:
            raise WatchError(f"site {named!r} was not read out", hint="name it in the probe's `lenses`")
        return self.values.lenses[named]

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


def _written(pattern: str) -> list[Site]:
    try:
        return expand(pattern)
    except SiteError as error:
        raise WatchError(error.message, hint=error.hint) from error


def _names(pattern: Site, site: Site) -> bool:
    if (pattern.port, pattern.select, pattern.member, pattern.call) != (site.port, site.select, site.member, site.call):
        return False
    return bool(select_paths(pattern.path, [site.path, *([site.native, f"/{site.native}"] if site.native else [])]))


def _numbers(array: Any) -> Floats:
    return np.asarray(shim.numbers(array), dtype=np.float32)

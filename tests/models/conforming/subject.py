"""A subject: a model, opened by the engine under test, and the truth about it in its own order of axes."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from darklantern.models.sites import parse

from .truth import Array, Truth, noise

Place = Callable[[str, Array], Array]
Edits = dict[str, Any]


class Framework(Protocol):
    """What the tests need of a framework besides the engine."""

    name: str
    uncovered: tuple[str, ...]
    """documented ports that no subject of the framework has in its truth"""

    def array(self, numbers: Array) -> Any:
        """The framework's own array."""

    def numbers(self, array: Any) -> Array:
        """And back."""

    def looking(self) -> AbstractContextManager[Any]:
        """In which models are opened and run."""

    def differentiating(self) -> AbstractContextManager[Any]:
        """Within `looking`: in which gradients are taken."""

    def moving(self, run: Callable[[Edits], Any], steps: Mapping[str, Any]) -> Callable[[tuple[str, ...]], Any]:
        """What `run` returns when the step at each of some sites is added there, and nothing elsewhere."""


class Case(NamedTuple):
    """A model as the engine opened it, what it is given, and its own call without any engine."""

    model: Any
    inputs: Any
    bare: Callable[[], Any]


class Subject:
    """One model. Sites, values, steps and gradients here are in the model's own order of axes.

    `tolerance` is a share of the largest value, against the truth; `rounding` the same between two runs of the model, 0
    for bit for bit. `together(site)` are the sites that are one in the truth, and `lacking(site)` is why the model
    cannot have a site of the truth, None where it must have it.
    """

    def __init__(
        self,
        name: str,
        oracle: str,
        framework: Framework,
        truth: Truth,
        open: Callable[[Truth], Case],
        *,
        tolerance: float,
        rounding: float,
        lacking: Callable[[str], str | None] = lambda site: None,
        place: Place = lambda site, value: value,
        together: Callable[[str], tuple[str, ...]] = lambda site: (site,),
        padding_counts: bool = True,
    ) -> None:
        self.name, self.oracle, self.framework, self.tolerance, self.rounding = (
            name, oracle, framework, tolerance, rounding
        )  # fmt: skip
        self.lacking, self.place, self.together = lacking, place, together
        self._truth, self._open, self._padding_counts = truth, open, padding_counts

    @cached_property
    def _case(self) -> Case:
        return self._open(self._truth)

    @property
    def model(self) -> Any:
        return self._case.model

    @property
    def inputs(self) -> Any:
        return self._case.inputs

    def bare(self) -> Array:
        """What the model returns when nobody looks."""
        return self.output(self._case.bare())

    def output(self, returned: Any) -> Array:
        """The numbers of what the model returned: of several values, the logits."""
        return self.framework.numbers(logits(returned))

    @cached_property
    def seen(self) -> dict[str, Array]:
        """What the truth has at each site that the model has."""
        return {site: self.place(site, value) for site, value in self._truth.seen.items() if not self.lacking(site)}

    @property
    def lacks(self) -> dict[str, str]:
        """The truth's other sites, each with the reason."""
        return {site: reason for site in self._truth.seen if (reason := self.lacking(site))}

    @property
    def true_output(self) -> Array:
        return self._truth.output

    def kinds(self) -> list[str]:
        """One site of each kind: the last block's, or whatever else there is."""
        return one_of_each_kind(self.seen)

    def step(self, site: str) -> Array:
        """Some noise to add at `site`."""
        return self.place(site, noise(self._truth.seen[site]))

    def output_after_step(self, site: str) -> Array:
        return self._truth.moved(site, noise(self._truth.seen[site]))

    def output_after_zero(self, site: str) -> Array:
        return self._truth.gone(site)

    def gradients(self, weights: Array, sites: list[str]) -> dict[str, Array]:
        found = self._truth.gradients(weights, sites)
        return {site: self.place(site, value) for site, value in found.items()}

    def close(self, found: Array, true: Array, site: str = "output", times: float = 1.0) -> None:
        """Within `times` the tolerance. `site` may be `output`, whose padding counts only where kernels agree on it."""
        assert found.shape == true.shape, f"{site}: {found.shape}, not {true.shape}"
        if site != "output" or not self._padding_counts:
            found, true = self._truth.own(site, found), self._truth.own(site, true)
        largest = np.abs(np.where(np.isinf(true), 0, true)).max()
        np.testing.assert_allclose(
            found, true.astype(found.dtype), rtol=0, atol=times * self.tolerance * max(float(largest), 1e-3),
            equal_nan=False, err_msg=f"{self.name} {site}",
        )  # fmt: skip

    def same(self, found: Array, before: Array) -> None:
        """Two runs of the model agree, bit for bit where the framework runs the same kernels both times."""
        if self.rounding == 0:
            assert np.array_equal(found, before)
        else:
            assert found.dtype == before.dtype
            np.testing.assert_allclose(found, before, rtol=0, atol=self.rounding * max(np.abs(before).max(), 1e-3))


def one_of_each_kind(sites: Any) -> list[str]:
    found: dict[str, str] = {}
    for site in sites:
        path, _, port = site.partition(":")
        found["".join(c for c in path if not c.isdigit()) + port] = site
    return list(found.values())


def logits(returned: Any) -> Any:
    """Of several values, the one that the oracles return; works on whatever a metric is given."""
    return getattr(returned, "logits", returned)


def can_move(site: str, value: Array) -> bool:
    """Routers have a test of their own; token numbers cannot be moved a little."""
    return parse(site).port != "router" and value.dtype.kind == "f"

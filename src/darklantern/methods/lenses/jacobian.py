"""The Jacobian lens: what a value at a layer does, on average, to all that the last layer holds from there on."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from darklantern.methods.lenses.tails import Place
from darklantern.methods.lenses.translators import Translators
from darklantern.models.opened import Model
from darklantern.models.recording import Recording
from darklantern.models.shim import backend, numbers
from darklantern.models.sites import Site


def averaged(model: Model, place: Place, inputs: Iterable[Any], probes: int | None, seed: int) -> Translators:
    """At each site the mean of ∂(Σⱼ final[j]) / ∂h[i] over all tokens i of all prompts, each token counting the same.

    The sum is over all tokens j of the token's own prompt; in a causal model those from i on. `final` is what goes into
    the entrance. Padding is neither i nor j. By vector-Jacobian products: each carries one direction at the entrance
    back to all sites at once, to all tokens of a batch. Without `probes` along every axis, exactly; with it along that
    many orthonormal directions, drawn anew for each batch, which is right on average. Source: transformer-circuits.pub,
    2026, the Jacobian lens.
    """
    rng = np.random.default_rng(seed)
    sums: dict[Site, Any] = {}
    count = 0
    for batch in inputs:
        here = model.record(batch, place.entrance)
        batch_sums, tokens = _summed(model, place, batch, here, probes, rng)
        count += tokens
        for site, each in batch_sums.items():
            sums[site] = sums.get(site, 0) + each
    dim = len(next(iter(sums.values())))
    # Rows of a Jacobian are what comes out; a value times its transpose is the value mapped.
    return Translators("jacobian", {site: (np.eye(dim) + each.T / count, np.zeros(dim)) for site, each in sums.items()})


def _summed(
    model: Model, place: Place, batch: Any, here: Recording, probes: int | None, rng: np.random.Generator
) -> tuple[dict[Site, Any], int]:
    """Of one batch: at each site the sum over tokens of Jacobian less identity, (out, in); and how many tokens."""
    value = here[place.entrance]
    size, pos, dim = value.shape
    lengths = here.lengths or (pos,) * size
    own = np.arange(pos)[None] < np.asarray(lengths)[:, None]
    drawn = min(probes or dim, dim)
    directions = np.linalg.qr(rng.normal(size=(dim, drawn)))[0].T if drawn < dim else np.eye(dim)
    like = backend(model.framework).like
    rows: dict[Site, list[Any]] = {site: [] for site in place.sites}
    for direction in directions:
        cotangent = backend(model.framework).from_numpy(own[..., None] * direction, copy=False)
        found = model.vjp(batch, {place.entrance: like(cotangent, value.array)}, *place.sites)
        for site in place.sites:
            slope = np.asarray(numbers(found.gradients[site].array), dtype=np.float64)
            # The residual stream hands on what it holds: less that, random directions leave far less to chance.
            rows[site].append(((slope - direction) * own[..., None]).sum((0, 1)))
    share = dim / len(directions)
    return {site: share * directions.T @ np.stack(each) for site, each in rows.items()}, int(own.sum())

"""Control sites for an ablation: other heads at the same positions, and never any that can do nothing.

In a causal model, ablating a head before the trigger changes nothing, because both runs are the same
there; nor does one of the last layer before the newline, because the payload does not read it. Drawn
among such sites, a control would be harmless by construction and prove nothing.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from darklantern.models.sites import Site


def live_sites(earlier: Sequence[Site], last: Sequence[Site], start: int, end: int) -> list[Site]:
    """The heads of the `earlier` layers from position `start` to `end`, and those of the `last` layer at `end`."""
    sites = [site.at(pos=position) for site in earlier for position in range(start, end + 1)]
    return sites + [site.at(pos=end) for site in last]


def matched(carriers: Sequence[Site], spare: Sequence[Site], rng: np.random.Generator) -> list[Site]:
    """As many of `spare` as there are carriers: at the carriers' own positions while those last, then anywhere.

    `spare` are live sites that are not carriers, at least as many as there are carriers.
    """
    wanted = Counter(_position(site) for site in carriers)
    drawn: list[Site] = []
    for position, count in sorted(wanted.items()):
        there = [site for site in spare if _position(site) == position]
        drawn += _some(there, min(count, len(there)), rng)
    return drawn + _some([site for site in spare if site not in drawn], len(carriers) - len(drawn), rng)


def _some(sites: Sequence[Site], count: int, rng: np.random.Generator) -> list[Site]:
    return [sites[i] for i in rng.choice(len(sites), count, replace=False)] if count else []


def _position(site: Site) -> int:
    pin = dict(site.select)["pos"]
    assert isinstance(pin, int)  # live_sites pins one position each
    return pin

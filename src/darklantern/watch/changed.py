"""What changed inside a model from attach to an alarm, as evidence."""

from typing import Any

import numpy as np

from darklantern.errors import cause_of
from darklantern.methods import diff
from darklantern.models.shim import convert
from darklantern.records.findings import Evidence, Provenance
from darklantern.watch import attach
from darklantern.watch.examples import Examples

METHOD = "diff"
EXAMPLES = 64
"""trusted ones that both states are run on"""


def changed(first: Any, model: Any, trusted: Examples, seed: int, provenance: Provenance) -> Evidence:
    """Sites, heads and neurons of `first`, the model at attach, held against those of `model`, at the alarm.

    On trusted examples without padding, drawn by `seed`. One run of each. Where the two cannot be compared, the
    evidence says why, under `provenance`.
    """
    whole = np.arange(len(trusted)) if trusted.mask is None else np.flatnonzero(trusted.mask.all(1))
    chosen = np.random.default_rng(seed).permutation(whole)[:EXAMPLES]
    try:
        before, after = (attach.tap(each, (), None, None, None, None).opened for each in (first, model))
        inputs = trusted.take(np.sort(chosen)).inputs
        if trusted.are_tokens:
            inputs = inputs[:, :-1].astype(np.int64)  # the last token of a row is only to be predicted
        return diff(before, after, convert(inputs, before.framework), seed=seed).evidence()
    except Exception as error:  # noqa: BLE001 - a model may refuse in its own words, and the finding is worth more
        return Evidence(method=METHOD, summary=f"Not compared: {cause_of(error)}.", provenance=provenance)

"""Tier I1: do small patches, of a family and not the one in use, come to move every image towards one class?"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from darklantern.watch.examples import Examples
from darklantern.watch.formulas import Floats, features
from darklantern.watch.probes import Asked, Now, Probe, Reading, Signal
from darklantern.watch.seen import Seen
from darklantern.watch.vision.compass import compass
from darklantern.watch.vision.material import balanced, labels
from darklantern.watch.vision.patches import Family, pasted

Effects = tuple[Floats, Floats]
"""of each patch on each class, (patches, classes): at the logits, and inside"""


class PatchProbe(Probe):
    """Trusted images with each patch of a family, against the same number of pixels scattered over the image.

    What is read is how much the effect of some patch on some class has grown over the last `looks`: that of its
    strongest patch says little, since any network has patches that speak for a class, and a new one need not be
    stronger than those. `site` is internal, such as the penultimate features. The directions of the classes are found
    anew at each look from `fitting` trusted images as they are; patches go into the first `rows` of them. Costs one
    pass over fitting + 2 · patches · rows images.
    """

    name: ClassVar[str] = "vision.patch"
    against_first = False
    output = True
    signals = (
        Signal(
            "patch margin",
            "I1",
            "behaviour",
            "standard deviations",
            "largest growth over patches and classes of E[z_y(x ⊕ τ) − z_y(x)] minus its mean over classes, in "
            "standard deviations of logits",
            placebo="as many pixels of the same value, scattered over the image",
            source="after Wang et al., Neural Cleanse (2019)",
            cost="1F over fitting + 2 · patches · rows",
        ),
        Signal(
            "patch displacement",
            "I1",
            "signal",
            "standard deviations",
            "largest growth over patches and classes of E[h(x ⊕ τ) − h(x)] along the class's direction minus its mean "
            "over classes",
            placebo="as many pixels of the same value, scattered over the image",
            source="after Wang et al., Neural Cleanse (2019), inside the model",
            cost="the same pass",
            detector="cusum",  # at few poisoned rows it creeps
        ),
    )

    def __init__(
        self,
        trusted: Examples,
        site: str,
        family: Family,
        rows: int = 8,
        fitting: int = 100,
        looks: int = 4,
        seed: int = 0,
    ) -> None:
        fixed = balanced(trusted, max(fitting, rows), seed, "trusted images")
        shape = fixed.inputs.shape[1:]
        patches = [*family.patches(shape), *family.scattered(shape, seed)]
        self._labels, self._rows = labels(fixed, "trusted images"), rows
        self._fitting, self._patches = len(fixed), len(patches)
        self._inputs = np.concatenate([fixed.inputs, pasted(fixed.inputs[:rows], patches)])
        self.sites = (site,)
        self.window = looks
        self._settings = {
            "site": site,
            "family": family.settings,
            "rows": rows,
            "fitting": fitting,
            "looks": looks,
            "seed": seed,
        }

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    def inputs(self, now: Now) -> Asked:
        return Asked(self._inputs)

    def read(self, seen: Seen) -> tuple[Reading, ...]:
        earlier = seen.notes or (seen.first,)
        return tuple(
            self._largest(now - np.mean([note[which] for note in earlier], axis=0))
            for which, now in enumerate(self.effects(seen))
        )

    def note(self, seen: Seen) -> Effects:
        """The effects at this look."""
        return self.effects(seen)

    def effects(self, seen: Seen) -> Effects:
        """Of each patch of the family and then of each placebo, (2 · patches, classes): at the logits, and inside."""
        logits, held = features(seen.output, "logits"), features(seen[self.sites[0]], f"{self.sites[0]!r}")
        directions = compass(held[: self._fitting], self._labels)
        return margins(self._moved(logits), logits[: self._fitting]), directions.toward(self._moved(held))

    def _moved(self, values: Floats) -> Floats:
        """What each patch changes, on average over images: (2 · patches, d)."""
        patched = values[self._fitting :].reshape(self._patches, self._rows, -1)
        made: Floats = (patched - values[: self._rows]).mean(1)
        return made

    def _largest(self, grown: Floats) -> Reading:
        half = self._patches // 2
        return Reading(float(grown[:half].max()), float(grown[half:].max()))


def margins(moved: Floats, logits: Floats) -> Floats:
    """Of changes of logits (…, classes), each class's beyond the mean over classes.

    In standard deviations of the logits (n, classes) of images as they are, beyond their mean: logits grow all through
    training. 0 where they do not differ at all.
    """
    spread = float((logits - logits.mean(-1, keepdims=True)).std())
    beyond = moved - moved.mean(-1, keepdims=True)
    made: Floats = beyond / spread if spread > 0 else np.zeros_like(beyond)
    return made

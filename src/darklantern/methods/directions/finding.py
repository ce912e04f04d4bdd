"""Finding a direction: record, split, fit, hold against what was not seen and against controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.directions.controls import controls as drawn_controls
from darklantern.methods.directions.examples import Examples, split
from darklantern.methods.directions.gathering import Rows, labelled, resolved
from darklantern.methods.directions.one import Direction, measured
from darklantern.methods.directions.probes import Bools, Floats, Probe
from darklantern.methods.directions.several import Directions
from darklantern.methods.directions.ways import way
from darklantern.methods.making import making
from darklantern.methods.opened import check_opened
from darklantern.methods.progress import tracked
from darklantern.models.opened import Model
from darklantern.models.shim import without_gradients
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Design:
    """How directions are to be found and measured."""

    how: str
    options: Mapping[str, float]
    labels: Sequence[Any] | None
    groups: Sequence[Any] | None
    held_out: float | Examples
    controls: int
    seed: int

    def check(self, two: bool) -> None:
        """Raises MethodError for what does not go together; `two` says whether there are two sets of inputs."""
        chosen, paired = way(self.how, self.options), two and self.labels is not None
        if paired and not chosen.pairs:
            raise MethodError(
                f"{self.how} takes two sets or labels, got both",
                hint="labels with two sets are for pairs, how='consistent'",
            )
        if chosen.pairs and not paired:
            raise MethodError(
                f"{self.how} takes both halves of pairs, and labels to tell which end is up and to measure it by",
                hint="direction(model, affirmed, denied, site, how='consistent', labels=whether_affirmed_is_right)",
            )
        if not isinstance(self.controls, int) or self.controls < 0:
            raise MethodError(f"controls is a number of draws, got {self.controls}", hint="controls=10, or 0 for none")

    def fit(self, values: Floats, labels: Bools, seed: int) -> Probe:
        """The probe of these examples."""
        return way(self.how, self.options).fit(values, labels, seed, **self.options)


def direction(
    model: Model,
    positive: Any,
    negative: Any = None,
    site: str | Site = "",
    how: str = "means",
    *,
    labels: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    held_out: float | Examples = 0.3,
    controls: int = 10,
    seed: int = 0,
    at_once: int = 32,
    **options: float,
) -> Direction:
    """The direction at `site` along which two classes of inputs differ, held against inputs that it never saw.

    `how` it is found: `means`, the difference of the classes' means; `logistic` regression (option `penalty`); `lda`,
    linear discriminant analysis (`shrinkage`); `consistent`, contrast-consistent search (`restarts`, `steps`, `rate`,
    `decay`).

    Inputs are two sets, or one set with `labels` of 0 and 1. For `consistent`, `positive` and `negative` are the halves
    of pairs (a statement and its negation, say), in the same order, and `labels` say of which pairs the first half is
    right: they choose the sign and measure, and the search itself sees none. A set is prompts, what the model takes, or
    an iterable of batches, which is streamed; prompts go `at_once` a batch. The site gives one vector an example: pin
    the others of its axes, as in `layers.6:out[pos=-1]`.

    A share `held_out` of each class is drawn by `seed` and not fitted on; with `groups`, one for each example (the
    positive ones first), whole groups are, so that paraphrases of one sentence don't stand on both sides. In place of a
    share, another direction's `examples`: where labels are the same, the same are held out. AUROC with its 95 %
    interval, accuracy, and `controls` draws of random directions and of shuffled labels are of what was held out.
    Interval and shuffling take examples for independent of each other, those of a group too.

    Costs one run over the inputs up to the site, and holds one vector an example in memory. Raises SiteError for sites,
    MethodError for data that give no direction.
    """
    check_opened(model)
    sites = resolved(model, site)
    if len(sites) > 1:
        raise MethodError(f"{site} stands for {len(sites)} sites", hint="directions(...) finds one at each of several")
    design = Design(how, options, labels, groups, held_out, controls, seed)
    (found,) = _found("direction", model, positive, negative, sites, design, at_once)
    return found


def directions(
    model: Model,
    positive: Any,
    negative: Any = None,
    sites: str | Site | Sequence[str | Site] = (),
    how: str = "means",
    *,
    labels: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    held_out: float | Examples = 0.3,
    controls: int = 10,
    seed: int = 0,
    at_once: int = 32,
    **options: float,
) -> Directions:
    """A direction at each of `sites`, a glob or a list: where in the model are two classes told apart?

    As `direction`, all from one pass over the inputs and with the same examples held out. The best site is the best of
    several: its interval does not know that, so confirm it on other inputs, `found.best.on(model, ...)`.
    """
    check_opened(model)
    design = Design(how, options, labels, groups, held_out, controls, seed)
    found = _found("directions", model, positive, negative, resolved(model, sites), design, at_once)
    return Directions(found, made=found[0].made)


def _found(
    method: str, model: Model, positive: Any, negative: Any, sites: Sequence[Site], design: Design, at_once: int
) -> tuple[Direction, ...]:
    design.check(negative is not None)
    with without_gradients(), making(method, model, design.seed) as under_way:
        found, known = labelled(model, sites, positive, negative, design.labels, under_way, at_once)
        under_way.saw(known)
        held = split(known, design.held_out, design.seed, design.groups)
        made = [
            _fitted(design, site, rows, Examples(rows.values, known, held))
            for site, rows in tracked(found.items(), "fitting", len(found))
        ]
    done = under_way.made()
    return tuple(Direction(**each, made=done) for each in made)


def _fitted(design: Design, site: Site, rows: Rows, examples: Examples) -> dict[str, Any]:
    """All that a direction holds but how it was made."""
    probe = design.fit(*examples.seen, design.seed)
    norm = float(np.linalg.norm(probe.vector))
    beside = drawn_controls(examples, design.fit, norm, design.controls, design.seed)
    # Halves of pairs were centred for the fit; what comes by itself is not.
    probe = replace(probe, offset=probe.offset - float(examples.centre @ probe.vector))
    about = {"site": site, "how": design.how, "options": design.options, "probe": probe, "axis": rows.axis}
    return {**about, "controls": beside, "examples": examples, **measured(examples, probe)}

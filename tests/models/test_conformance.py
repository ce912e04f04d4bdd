"""What every framework's engine must do, held against forward passes written by hand.

The wording knows no framework: a subject has a truth, the engine under test opens the subject's model, and whatever the
hand-written pass sees at a site the engine must see there, whatever an edit does in it it must do in the engine.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conforming import SUBJECTS, Subject
from conforming.subject import can_move, logits, one_of_each_kind
from conforming.truth import noise

from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.models.sites import Site, parse

SITES = Path(__file__).parents[2] / "docs" / "sites.md"
AXES = {
    **dict.fromkeys(("q", "k", "v", "q_pre", "k_pre", "z", "result"), ("batch", "pos", "head", "dim")),
    **dict.fromkeys(("scores", "pattern"), ("batch", "head", "pos", "key")),
    "resid_mid": ("batch", "pos", "dim"),
}


def each(subjects: Iterable[Subject]) -> pytest.MarkDecorator:
    # JAX compiles what each test asks: seconds.
    slow = {"torch": (), "jax": pytest.mark.slow}
    params = [pytest.param(one, id=one.name, marks=slow[one.framework.name]) for one in subjects]
    return pytest.mark.parametrize("subject", params, indirect=True)


every_subject = each(SUBJECTS)


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with request.param.framework.looking():
        yield request.param


def only(*oracles: str) -> pytest.MarkDecorator:
    return each(subject for subject in SUBJECTS if subject.oracle in oracles)


@every_subject
def test_every_site_holds_what_the_hand_written_forward_has_there(subject: Subject) -> None:
    recording = subject.model.record(subject.inputs, *subject.seen) if subject.seen else {}
    assert list(recording) == list(subject.seen)
    for site, value in subject.seen.items():
        subject.close(subject.framework.numbers(recording[site].array), value, site)
    returned = recording.output if subject.seen else subject.model.run(subject.inputs)
    subject.close(subject.output(returned), subject.true_output)


@every_subject
def test_values_name_their_axes_as_documented(subject: Subject) -> None:
    sites = [site for site in one_of_each_kind(subject.seen) if parse(site).port in AXES]
    recording = subject.model.record(subject.inputs, *sites) if sites else {}
    for site in sites:
        assert recording[site].axes == AXES[parse(site).port], site


@only("cnn")
def test_the_axes_of_images_are_named_in_the_order_in_which_the_framework_has_them(subject: Subject) -> None:
    sizes = {"batch": 2, "channel": 3, "height": 5, "width": 7}
    order = subject.place("conv:out", np.zeros(tuple(sizes.values()))).shape
    named = tuple(next(name for name, size in sizes.items() if size == each) for each in order)
    assert subject.model.record(subject.inputs, "conv:out")["conv:out"].axes == named


@every_subject
def test_what_a_model_lacks_by_nature_is_an_error_and_not_nothing(subject: Subject) -> None:
    for site in one_of_each_kind(subject.lacks):
        with pytest.raises(SiteError):
            subject.model.record(subject.inputs, site)


@every_subject
def test_looking_changes_no_bit(subject: Subject) -> None:
    bare = subject.bare()
    if subject.seen:
        subject.same(subject.output(subject.model.record(subject.inputs, *subject.seen).output), bare)
    subject.same(subject.output(subject.model.run(subject.inputs)), bare)
    assert np.array_equal(subject.bare(), bare)


@every_subject
def test_an_edit_at_any_site_does_what_it_does_in_the_hand_written_forward(subject: Subject) -> None:
    sites = [site for site in subject.kinds() if can_move(site, subject.seen[site])]
    steps = {each: subject.framework.array(subject.step(site)) for site in sites for each in subject.together(site)}
    output_after_step = subject.framework.moving(partial(subject.model.run, subject.inputs), steps)
    for site in sites:
        one = subject.together(site)
        moved = subject.output_after_step(site)
        assert not np.array_equal(moved, subject.true_output), site
        subject.close(subject.output(output_after_step(one)), moved)
        gone = subject.output_after_zero(site)
        if not np.isnan(gone).any():
            subject.close(subject.output(subject.model.run(subject.inputs, dict.fromkeys(one, edits.zero()))), gone)


@every_subject
def test_the_gradient_at_any_site_is_that_of_the_hand_written_forward(subject: Subject) -> None:
    sites = [site for site in subject.kinds() if can_move(site, subject.seen[site])]
    if not sites:
        return
    weights = noise(subject.true_output)
    expected = subject.gradients(weights, sites)
    with subject.framework.differentiating():
        times = subject.framework.array(weights)
        wanted = [each for site in sites for each in subject.together(site)]
        found = subject.model.gradient(subject.inputs, lambda returned: (logits(returned) * times).sum(), *wanted)
    for site in sites:
        parts = (subject.framework.numbers(found.gradients[each].array) for each in subject.together(site))
        ours = sum(map(np.nan_to_num, parts))
        subject.close(ours, np.nan_to_num(expected[site]), site, times=10)


@every_subject
def test_a_run_can_start_at_every_block_and_see_the_rest_unchanged(subject: Subject) -> None:
    model, inputs = subject.model, subject.inputs
    blocks = [site.path for site in model.sites("**:out") if model.block_of(site) == site.path]
    streams = {site.removesuffix(":resid_mid") for site in subject.seen if site.endswith(":resid_mid")}
    assert {path for path in streams if re.search(r"(^|\.)layers\.\d+$", path)} <= set(blocks)
    full = model.record(inputs, *(f"{block}:out" for block in blocks)) if blocks else None
    for number, block in enumerate(blocks):
        later = [f"{each}:out" for each in blocks[number:] if each.rpartition(".")[0] == block.rpartition(".")[0]]
        found = model.record(model.start(inputs, block), *later)
        assert full is not None
        subject.same(subject.output(found.output), subject.output(full.output))
        for site in later:
            numbers = subject.framework.numbers
            subject.same(numbers(found[site].array), numbers(full[site].array))


@only("gpt2", "vit")
def test_a_slope_is_post_over_pre_and_editing_it_multiplies(subject: Subject) -> None:
    model, inputs, numbers = subject.model, subject.inputs, subject.framework.numbers
    slopes = [site for site in model.sites("**:*") if site.port == "slope" and site.path]
    assert bool(slopes) == (subject.lacking("layers.0.mlp:slope") is None)
    for site in slopes:
        pre, post = (Site(site.path, port) for port in ("pre", "post"))
        recording = model.record(inputs, site, pre, post)
        product = numbers(recording[site].array) * numbers(recording[pre].array)
        subject.close(product, numbers(recording[post].array), str(site))
        doubled = subject.output(model.run(inputs, {site: edits.scale(2.0)}))
        subject.close(doubled, subject.output(model.run(inputs, {post: edits.scale(2.0)})))


@only("moe")
def test_a_router_that_chooses_by_itself_refuses_edits_that_would_do_nothing(subject: Subject) -> None:
    model, inputs = subject.model, subject.inputs
    site = "layers.0.mlp:router"
    for attempt in (
        lambda: model.run(inputs, {site: edits.zero()}),
        lambda: model.run(inputs, {site: edits.stop_gradient()}),
        lambda: model.run(inputs, {"layers.0.mlp.gate:out": edits.zero()}),
        lambda: model.gradient(inputs, lambda returned: logits(returned).sum(), site),
    ):
        with pytest.raises(SiteError, match="chooses the experts itself"):
            attempt()
    even = model.run(inputs, {"layers.0.mlp.gate:out.1": edits.put(0.5)})
    assert not np.array_equal(subject.output(even), subject.true_output)


@pytest.mark.parametrize("framework", sorted({subject.framework.name for subject in SUBJECTS}))
def test_every_documented_port_is_held_against_something(framework: str) -> None:
    subjects = [subject for subject in SUBJECTS if subject.framework.name == framework]
    covered = {parse(site).port for subject in subjects for site in subject.seen}
    assert documented_ports() - covered == set(subjects[0].framework.uncovered)


def documented_ports() -> set[str]:
    """The names in the tables of docs/sites.md that list ports."""
    text = SITES.read_text().partition("## Ports of every module")[2].partition("## Canonical paths")[0]
    ports: set[str] = set()
    for section in re.split(r"^## ", text, flags=re.M):
        if "| port |" in section:
            column = 2 if "| where | port |" in section else 1
            rows = [line.split("|") for line in section.splitlines() if line.startswith("|")]
            ports |= {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}
    return ports

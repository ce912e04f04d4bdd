"""What every framework's engine must do, held against forward passes written by hand.

The wording knows no framework: a subject has an oracle, the engine under test opens the subject's model, and whatever
the oracle sees at a site the engine must see there, whatever an edit does in the oracle it must do in the engine.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from oracles import SUBJECTS, Inputs, Subject, cast
from torch import Tensor, nn

from darklantern import models
from darklantern.errors import SiteError
from darklantern.models import edits
from darklantern.models.on_torch.opened import Model
from darklantern.models.on_torch.ports import ORDER
from darklantern.models.sites import Site, parse

every_subject = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
LOOSE = 1e-6  # some libraries' norms compute in float32 whatever they are given
TIGHT = 1e-11


@cache
def prepared(name: str) -> tuple[Subject, nn.Module, Inputs, Model]:
    subject = next(each for each in SUBJECTS if each.name == name)
    module = subject.build(torch.float64)
    return subject, module, cast(subject.inputs(), torch.float64), models.open(module)


@cache
def truth(name: str) -> tuple[Tensor, dict[str, Tensor]]:
    subject, module, inputs, _ = prepared(name)
    seen: dict[str, Tensor] = {}

    def visit(site: str, value: Tensor) -> Tensor:
        seen[site] = value
        return value

    with torch.no_grad():
        return subject.forward(module, inputs, visit), seen


def edited_truth(name: str, changes: dict[str, Callable[[Tensor], Tensor]]) -> Tensor:
    """The oracle's output when it goes on from `changes[site](value)` at these sites."""
    subject, module, inputs, _ = prepared(name)
    return subject.forward(module, inputs, lambda site, value: changes.get(site, lambda same: same)(value))


def output(returned: Any) -> Tensor:
    return returned if isinstance(returned, Tensor) else returned.logits


def own_tokens(name: str, site: str, value: Tensor) -> Tensor:
    """`value` with what belongs to padding set to 0: there the kernels agree on nothing."""
    inputs = prepared(name)[2]
    if not isinstance(inputs, dict) or "attention_mask" not in inputs:
        return value
    mask = inputs["attention_mask"].to(value.dtype)
    value = value.masked_fill(value.isinf(), 0)
    if parse(site).port in ("scores", "pattern"):
        if value.shape[3] == mask.shape[1]:
            value = value * mask[:, None, None, :]
        return value * mask[:, None, :, None] if value.shape[2] == mask.shape[1] else value
    return value * mask.view(*mask.shape, *(1,) * (value.ndim - 2)) if value.shape[:2] == mask.shape else value


def close(found: Tensor, true: Tensor, site: str, tolerance: float) -> None:
    assert found.shape == true.shape, f"{site}: {tuple(found.shape)}, not {tuple(true.shape)}"
    largest = float(true.masked_fill(true.isinf(), 0).abs().max())
    torch.testing.assert_close(
        found, true.to(found.dtype), rtol=0, atol=tolerance * max(largest, 1e-3), msg=lambda text: f"{site}\n{text}"
    )


def tolerance(name: str) -> float:
    return LOOSE if name in ("llama", "mistral", "qwen3", "moe", "t5") else TIGHT


def noise(value: Tensor) -> Tensor:
    return 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(9), dtype=value.dtype)


def kinds(name: str) -> list[str]:
    """One site of each kind: the last block's, or whatever else there is."""
    found: dict[str, str] = {}
    for site in truth(name)[1]:
        path, _, port = site.partition(":")
        found["".join(c for c in path if not c.isdigit()) + port] = site
    return list(found.values())


@every_subject
@torch.no_grad()
def test_every_site_holds_what_the_hand_written_forward_has_there(subject: Subject) -> None:
    expected, seen = truth(subject.name)
    model = prepared(subject.name)[3]
    recording = model.record(prepared(subject.name)[2], *seen)
    assert list(recording) == list(seen)
    for site, value in seen.items():
        found = own_tokens(subject.name, site, recording[site].array)
        close(found, own_tokens(subject.name, site, value), site, tolerance(subject.name))
    close(output(recording.output), expected, "output", tolerance(subject.name))


@every_subject
@torch.no_grad()
def test_looking_changes_no_bit(subject: Subject) -> None:
    _, module, inputs, model = prepared(subject.name)
    bare = module(**inputs) if isinstance(inputs, dict) else module(inputs)
    assert torch.equal(output(model.record(inputs, *truth(subject.name)[1]).output), output(bare))
    assert torch.equal(output(model.run(inputs)), output(bare))
    assert torch.equal(output(module(**inputs) if isinstance(inputs, dict) else module(inputs)), output(bare))


@every_subject
@torch.no_grad()
def test_an_edit_at_any_site_does_what_it_does_in_the_hand_written_forward(subject: Subject) -> None:
    _, _, inputs, model = prepared(subject.name)
    for site in kinds(subject.name):
        value = truth(subject.name)[1][site]
        if parse(site).port == "router" or not value.is_floating_point():
            continue  # routers have a test of their own; token numbers cannot be moved a little
        moved = edited_truth(subject.name, {site: lambda old: old + noise(old)})
        assert not torch.equal(moved, truth(subject.name)[0]), site
        close(output(model.run(inputs, {site: edits.add(noise(value))})), moved, site, tolerance(subject.name))
        gone = edited_truth(subject.name, {site: torch.zeros_like})
        if not gone.isnan().any():
            close(output(model.run(inputs, {site: edits.zero()})), gone, site, tolerance(subject.name))


@every_subject
def test_the_gradient_at_any_site_is_that_of_the_hand_written_forward(subject: Subject) -> None:
    _, _, inputs, model = prepared(subject.name)
    weights = noise(truth(subject.name)[0])
    seen = truth(subject.name)[1]
    sites = [site for site in kinds(subject.name) if seen[site].is_floating_point() and parse(site).port != "router"]
    leaves: dict[str, Tensor] = {}

    def visit(site: str, value: Tensor) -> Tensor:
        if site in sites:
            leaves[site] = value = value.detach().requires_grad_() if not value.requires_grad else value.clone()
            value.retain_grad()
        return value

    expected = subject.forward(prepared(subject.name)[1], inputs, visit)
    (expected * weights).sum().backward()
    found = model.gradient(inputs, lambda returned: (output(returned) * weights).sum(), *sites)
    for site in sites:
        true = leaves[site].grad
        true = torch.zeros_like(leaves[site]) if true is None else true
        ours = own_tokens(subject.name, site, found.gradients[site].array.nan_to_num())
        close(ours, own_tokens(subject.name, site, true.nan_to_num()), site, 10 * tolerance(subject.name))


@every_subject
@torch.no_grad()
def test_a_run_can_start_at_every_block_and_see_the_rest_unchanged(subject: Subject) -> None:
    _, _, inputs, model = prepared(subject.name)
    blocks = [site.path for site in model.sites("**:out") if model.block_of(site) == site.path]
    blocks = [block for block in blocks if "encoder" not in block or "decoder" not in block]
    full = model.record(inputs, *(f"{block}:out" for block in blocks)) if blocks else None
    for number, block in enumerate(blocks):
        start = model.start(inputs, block)
        later = [f"{each}:out" for each in blocks[number:] if each.rpartition(".")[0] == block.rpartition(".")[0]]
        found = model.record(start, *later)
        assert full is not None
        assert torch.equal(output(found.output), output(full.output))
        assert all(torch.equal(found[site].array, full[site].array) for site in later)


@torch.no_grad()
def test_a_slope_is_post_over_pre_and_editing_it_multiplies() -> None:
    for name in ("gpt2", "vit"):
        _, _, inputs, model = prepared(name)
        for site in [site for site in model.sites("**:*") if site.port == "slope"]:
            pre, post = (Site(site.path, port) for port in ("pre", "post"))
            recording = model.record(inputs, site, pre, post)
            close(recording[site].array * recording[pre].array, recording[post].array, str(site), TIGHT)
            doubled = output(model.run(inputs, {site: edits.scale(2.0)}))
            close(doubled, output(model.run(inputs, {post: edits.scale(2.0)})), str(site), TIGHT)


def test_a_router_that_chooses_by_itself_refuses_edits_that_would_do_nothing() -> None:
    _, _, inputs, model = prepared("moe")
    site = "layers.0.mlp:router"
    for attempt in (
        lambda: model.run(inputs, {site: edits.zero()}),
        lambda: model.run(inputs, {site: edits.stop_gradient()}),
        lambda: model.run(inputs, {"layers.0.mlp.gate:out": edits.zero()}),
        lambda: model.gradient(inputs, lambda returned: returned.logits.sum(), site),
    ):
        with pytest.raises(SiteError, match="chooses the experts itself"):
            attempt()
    with torch.no_grad():
        even = model.run(inputs, {"layers.0.mlp.gate:out.1": lambda scores: torch.full_like(scores, 0.5)})
        assert not torch.equal(output(even), truth("moe")[0])


def test_every_port_of_the_table_is_held_against_something() -> None:
    covered = {parse(site).port for subject in SUBJECTS for site in truth(subject.name)[1]}
    assert set(ORDER) - covered == {"slope"}  # by its own test above

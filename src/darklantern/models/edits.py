"""Edits: what may replace the value at a site. Each is a function from value to value."""

import torch
from torch import Tensor

from darklantern.models.engine import Edit, Recording
from darklantern.models.sites import Site


def put(value: Tensor) -> Edit:
    """Replace by `value`, broadcast to the site's shape."""
    return lambda old: value.to(old.dtype).expand_as(old)


def zero() -> Edit:
    """Ablate: replace by zeros."""
    return torch.zeros_like


def mean() -> Edit:
    """Ablate: replace each example by the mean over the batch."""
    return lambda old: old.mean(0, keepdim=True).expand_as(old)


def take(recording: Recording, site: Site) -> Edit:
    """Patch: replace by what `recording` holds at the whole of `site`, pinned as `site` is."""
    held = recording[str(site.whole)]
    return put(held[site.index()] if site.select else held)


def add(direction: Tensor, scale: float = 1.0) -> Edit:
    """Steer: add `scale` times `direction`."""
    return lambda old: old + scale * direction

"""A module's weights, to be hashed later: cheap now, and an error then if they have changed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from darklantern.errors import SiteError
from darklantern.models.snapshot import weights_hash


def hash_later(module: nn.Module) -> Callable[[], str]:
    """What gives `weights_hash` of the weights as they are now; raises SiteError when they are others by then.

    Now it sums them, each by itself: a read of the weights, where they lie. Where a module is cut over several ranks,
    every rank must call both.
    """
    before = _sums(module)

    def hashed() -> str:
        if _sums(module) != before:
            raise SiteError(
                "the model's weights have changed since this result was made, so its evidence would name others",
                hint="take .evidence() before training goes on, or make the result again",
            )
        return weights_hash(module)

    return hashed


@torch.no_grad()
def _sums(module: nn.Module) -> tuple[tuple[str, str], ...]:
    """Of each weight its name and sums, as text: there NaN is what it was."""
    return tuple((name, _sum(value)) for name, value in module.state_dict().items() if isinstance(value, Tensor))


def _sum(value: Tensor) -> str:
    local = getattr(value, "to_local", None)
    held = local() if callable(local) else value
    kind = torch.complex128 if held.is_complex() else torch.float64
    flat = held.reshape(-1)
    # The second sum tells numbers apart that only changed places.
    return f"{flat.sum(dtype=kind).item()} {flat[::2].sum(dtype=kind).item()}"

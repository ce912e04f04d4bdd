"""Token numbers as tensors, padded."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError
from darklantern.models.sites import Site
from darklantern.models.tokens import Batch, filled, texts


def padded(tokenizer: Any, numbers: Sequence[Sequence[int]], module: nn.Module) -> Batch:
    """`input_ids` and `attention_mask`, (batch, pos), on the device of the module's first parameter."""
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    rows, mask = filled(tokenizer, numbers)
    given = {"input_ids": torch.tensor(rows, device=device), "attention_mask": torch.tensor(mask, device=device)}
    return Batch(given, tuple(texts(tokenizer, each) for each in numbers))


def refuse_padding(site: Site, arguments: Mapping[str, Any]) -> None:
    """Raises SiteError for inputs whose mask says that they end in padding, and a site that counts from the end."""
    mask = arguments.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.ndim == 2 and bool((mask[:, -1] == 0).any()):
        raise SiteError(
            f"{site} counts positions from the end, and these inputs end in padding",
            hint="model.batch(prompts), or the prompts themselves as inputs: those know each example's own tokens",
        )

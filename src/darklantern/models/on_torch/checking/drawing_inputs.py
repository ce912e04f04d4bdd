"""Inputs for a language model, drawn at random: no tokenizer needed."""

import inspect
from typing import Any

import torch
from torch import nn

from darklantern.errors import SiteError

EXAMPLES, TOKENS, SEED = 2, 12, 0


def drawn(module: nn.Module) -> tuple[dict[str, Any], str]:
    """Random tokens for `module`, and how they were made. Raises SiteError for what takes no tokens."""
    module = module._modules.get("_orig_mod") or module  # torch.compile's wrapper hides what the model takes
    config = getattr(module, "config", None)
    vocabulary = getattr(config, "vocab_size", None)
    takes = inspect.signature(type(module).forward).parameters
    if not isinstance(vocabulary, int) or not ("input_ids" in takes or "kwargs" in takes):
        raise SiteError(
            f"there are no inputs to draw for {type(module).__name__}: it has no config.vocab_size, or no input_ids",
            hint="check(inputs) with what the model takes: a tensor, a tuple, or a mapping of keyword arguments",
        )
    generator = torch.Generator().manual_seed(SEED)
    made = {"input_ids": torch.randint(0, vocabulary, (EXAMPLES, TOKENS), generator=generator)}
    if getattr(config, "is_encoder_decoder", False):
        made["decoder_input_ids"] = torch.randint(0, vocabulary, (EXAMPLES, TOKENS - 3), generator=generator)
    device = next((each.device for each in module.parameters() if each.device.type != "meta"), torch.device("cpu"))
    shown = f"{EXAMPLES} × {TOKENS} random tokens of {vocabulary} (seed {SEED})"
    return {name: value.to(device) for name, value in made.items()}, shown

"""Edge scores: exact in linear nets, and against a sum, a count, a truth."""

from typing import Any

import numpy as np
import torch
from frameworks import engine, logits, tokens
from small_transformers import gpt2, llama

from darklantern import models
from darklantern.methods.circuits.contrasts import Contrast
from darklantern.methods.circuits.scoring import edge_scores

__all__ = ["engine"]


def last(output: Any) -> Any:
    return logits(output)[:, -1, 3].mean()


def numbered(seed: int = 5):
    return torch.from_numpy(tokens(2, 7, seed=seed))


def test_x():
    for b in (gpt2, llama):
        m = models.open(b())
        c = Contrast(numbered(), numbered(6), last)
        s = {how: edge_scores(m, c, how) for how in ("exact", "eap", "eap-ig", "relp", "ensemble")}
        for how in s:
            print(how, np.corrcoef(s[how].array, s["exact"].array)[0, 1], s[how].made.cost, s[how])

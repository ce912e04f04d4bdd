"""What a reader knows that sees only the prompt and what the model did: the bar for reading inside."""

from collections.abc import Callable
from typing import Any

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.asking.fits import Numbers, sigmoid
from darklantern.methods.asking.questions import Seen, Whole
from darklantern.methods.asking.training import trained
from darklantern.models.shim import is_array, numbers
from darklantern.models.tokens import Batch

Prompt = Callable[[Any], Any]
"""a batch → what a reader sees of its prompts, (example, number)"""
_MOST = 4096
"""columns of a prompt; more tokens at more places share them"""


def outside(fitted: Seen, labels: Numbers, checked: Seen, prompt: Prompt | None, seed: int) -> Numbers:
    """Its chances of answer 1 on the checked examples, from those that it was trained on with the same labels.

    It sees each prompt's tokens by place and what the model did, or the latter alone, whichever did better on a fifth
    of the examples that it was not trained on; and it is the same small network that reads activations. `prompt` says
    otherwise what it sees of a prompt.
    """
    choices = np.unique(np.concatenate([fitted.done, checked.done]))
    done = [(each.done[:, None] == choices[None]).astype(np.float64) for each in (fitted, checked)]
    prompts = _alike(*(_prompts(each, prompt or _tokens) for each in (fitted, checked)))
    both = [np.concatenate(pair, axis=1) for pair in zip(done, prompts, strict=True)]
    cut = np.random.default_rng(seed).permutation(len(labels))
    kept, tried = cut[len(cut) // 5 :], cut[: len(cut) // 5]

    def net(inputs: Numbers, rows: Whole, asked: Numbers) -> Numbers:
        nothing = [np.zeros(count, dtype=np.int64) for count in (len(rows), len(asked))]
        return trained(fitted.framework, inputs[rows], nothing[0], labels[rows], 1, seed=seed)(asked, nothing[1])

    right = [((net(one, kept, one[tried]) > 0) == (labels[tried] == 1)).mean() for one, _ in (done, both)]
    one, other = both if right[1] > right[0] else done
    return sigmoid(net(one, cut, other))


def _prompts(examples: Seen, show: Prompt) -> Numbers:
    rows = [np.asarray(show(batch), dtype=np.float64) for batch in examples.batches]
    width = max(each.shape[1] for each in rows)
    return np.concatenate([_wide(each, width) for each in rows])


def _alike(one: Numbers, other: Numbers) -> tuple[Numbers, Numbers]:
    """Both as wide, without what is nowhere in the first."""
    width = max(one.shape[1], other.shape[1])
    one, other = _wide(one, width), _wide(other, width)
    there = one.any(0)
    return one[:, there], other[:, there]


def _wide(rows: Numbers, width: int) -> Numbers:
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])))


def _tokens(batch: Any) -> Numbers:
    """Which token stands where, one column for each pair."""
    array: Any = dict(batch).get("input_ids") if isinstance(batch, Batch | dict) else batch
    if not is_array(array) or array.ndim != 2 or numbers(array).dtype.kind not in "iu":
        raise MethodError(
            f"a reader of prompts knows no tokens in a {type(batch).__name__}",
            hint="prompt=lambda batch: an array (example, number), or prompt=False for no such reader",
        )
    ids = numbers(array).astype(np.int64)
    # A prime that spreads a vocabulary over the columns; beyond them two tokens may look the same.
    columns = (ids + np.arange(ids.shape[1]) * 7919) % _MOST
    made = np.zeros((len(ids), _MOST))
    np.put_along_axis(made, columns, 1.0, axis=1)
    return made

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
"""columns of a prompt: of pairs of a token and its place, those that part the examples most evenly"""


def outside(fitted: Seen, labels: Numbers, checked: Seen, prompt: Prompt | None, seed: int) -> Numbers:
    """Its chances of answer 1 on the checked examples, from those that it was trained on with the same labels.

    It sees each prompt's tokens by place and what the model did, or the latter alone, whichever did better on a fifth
    of the examples that it was not trained on; and it is the same small network that reads activations. `prompt` says
    otherwise what it sees of a prompt.
    """
    choices = np.unique(np.concatenate([fitted.done, checked.done]))
    done = [(each.done[:, None] == choices[None]).astype(np.float64) for each in (fitted, checked)]
    prompts = shown(fitted, checked, prompt) if prompt else tokens(fitted, checked)
    both = [np.concatenate(pair, axis=1) for pair in zip(done, prompts, strict=True)]
    cut = np.random.default_rng(seed).permutation(len(labels))
    kept, tried = cut[len(cut) // 5 :], cut[: len(cut) // 5]

    def net(inputs: Numbers, rows: Whole, asked: Numbers) -> Numbers:
        nothing = [np.zeros(count, dtype=np.int64) for count in (len(rows), len(asked))]
        return trained(fitted.framework, inputs[rows], nothing[0], labels[rows], 1, seed=seed)(asked, nothing[1])

    right = [((net(one, kept, one[tried]) > 0) == (labels[tried] == 1)).mean() for one, _ in (done, both)]
    one, other = both if right[1] > right[0] else done
    return sigmoid(net(one, cut, other))


def shown(fitted: Seen, checked: Seen, prompt: Prompt) -> tuple[Numbers, Numbers]:
    """What `prompt` says of both, as wide, without what is nowhere in the first."""
    rows = [[np.asarray(prompt(batch), dtype=np.float64) for batch in each.batches] for each in (fitted, checked)]
    width = max(part.shape[1] for each in rows for part in each)
    one, other = (
        np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in each]) for each in rows
    )
    there = one.any(0)
    return one[:, there], other[:, there]


def tokens(fitted: Seen, checked: Seen) -> tuple[Numbers, Numbers]:
    """Which token stands where in both: a column for each pair of them in the first, or for `_MOST`."""
    pairs = [_pairs(each) for each in (fitted, checked)]
    known, counts = np.unique(pairs[0][1], return_counts=True)
    known = np.sort(known[np.argsort(np.abs(2 * counts - len(fitted)), kind="stable")[:_MOST]])
    made = []
    for examples, (example, pair) in zip((fitted, checked), pairs, strict=True):
        column = np.minimum(np.searchsorted(known, pair), len(known) - 1)
        there = known[column] == pair
        made.append(np.zeros((len(examples), len(known))))
        made[-1][example[there], column[there]] = 1.0
    return made[0], made[1]


def _pairs(examples: Seen) -> tuple[Whole, Whole]:
    """Of each token that is no padding its example, and one number for it and its place."""
    rows, pairs, first = [], [], 0
    for batch in examples.batches:
        ids = _ids(batch)
        lengths = batch.lengths if isinstance(batch, Batch) else [ids.shape[1]] * len(ids)
        row, place = np.nonzero(np.arange(ids.shape[1]) < np.array(lengths)[:, None])
        rows.append(row + first)
        pairs.append((place << 32) + ids[row, place])
        first += len(ids)
    return np.concatenate(rows), np.concatenate(pairs)


def _ids(batch: Any) -> Whole:
    array: Any = dict(batch).get("input_ids") if isinstance(batch, Batch | dict) else batch
    if not is_array(array) or array.ndim != 2 or numbers(array).dtype.kind not in "iu":
        raise MethodError(
            f"a reader of prompts knows no tokens in a {type(batch).__name__}",
            hint="prompt=lambda batch: an array (example, number), or prompt=False for no such reader",
        )
    return numbers(array).astype(np.int64)

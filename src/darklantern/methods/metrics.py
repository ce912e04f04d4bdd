"""What is asked of a model's output: one number, by a function of your own or by one of these.

A metric of this room knows tokens by their text and each prompt's own last position, for which it has to see model and
inputs first: `bound` shows it both. A function of your own goes through as it is.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError, SiteError
from darklantern.methods.aligned import is_text
from darklantern.models.opened import Model
from darklantern.models.shim import backend_of, is_array, listed, numbers
from darklantern.models.tokens import Batch

Metric = Callable[[Any], Any]
"""a model's output → one number, of the model's own framework where it is to be differentiated"""
Token = str | int
"""as text, which must be one token, or by its number"""


@dataclass(frozen=True)
class TokenMetric:
    """A number of the logits at one position, the mean over examples."""

    says: str
    answer: tuple[Token, ...]
    """one for all examples, or one each"""
    other: tuple[Token, ...]
    """what it is held against; none where the metric is a log-probability"""
    pos: int

    def bind(self, model: Model, inputs: Any) -> Metric:
        """It as a function of the output that `model` returns on `inputs`. Raises MethodError for what is no token."""
        answer, other = ([token_number(model, token) for token in tokens] for tokens in (self.answer, self.other))
        lengths = _lengths(model.batch(inputs) if is_text(inputs) else inputs, self.pos)

        def measured(output: Any) -> Any:
            logits = logits_of(output)
            rows = self._rows(logits, lengths)
            if not other:
                rows = rows - backend_of(rows).logsumexp(rows, axis=-1, keepdims=True)
            value = _picked(rows, answer)
            return (value - _picked(rows, other) if other else value).mean()

        return measured

    def __call__(self, output: Any) -> Any:
        raise MethodError(
            f"{self.says} has to see the model and its inputs before an output",
            hint="hand it to a method as it is, or metric.bind(model, inputs)(output)",
        )

    def _rows(self, logits: Any, lengths: Sequence[int] | None) -> Any:
        """The logits at each example's position, (example, token)."""
        if logits.ndim == 2:  # a classifier has no positions
            return logits
        if lengths is None or self.pos >= 0:
            return logits[:, self.pos]
        if min(lengths) + self.pos < 0:
            raise MethodError(
                f"position {self.pos} from the end: a prompt has {min(lengths)} tokens", hint="a position that all have"
            )
        places = [length + self.pos for length in lengths]
        return logits[listed(list(range(len(places))), logits), listed(places, logits)]


def logit_diff(answer: Token | Sequence[Token], other: Token | Sequence[Token], pos: int = -1) -> TokenMetric:
    """How much higher the logit of `answer` is than that of `other`, at each prompt's own position `pos`, on average.

    Tokens as text (spaces belong to them) or by number; a list has one for each example. In nats of the ratio of both
    probabilities, as differences of logits are. Raises MethodError for no token. Source: Wang et al. 2022,
    Interpretability in the Wild.
    """
    return TokenMetric(f"logit of {answer!r} over {other!r}", several(answer), several(other), pos)


def log_prob(answer: Token | Sequence[Token], pos: int = -1) -> TokenMetric:
    """The log-probability of `answer` in nats, at each prompt's own position `pos`, on average over the examples.

    Raises MethodError for no token.
    """
    return TokenMetric(f"log-probability of {answer!r}", several(answer), (), pos)


def bound(metric: Any, model: Model, inputs: Any) -> Metric:
    """`metric` as a function of what `model` returns on `inputs`."""
    if isinstance(metric, TokenMetric):
        return metric.bind(model, inputs)
    if not callable(metric):
        raise SiteError(
            f"expected a function from the model's output to a number as metric, got {type(metric).__name__}",
            hint="lambda output: ..., or darklantern.logit_diff(' Mary', ' John')",
        )
    made: Metric = metric
    return made


def number(metric: Metric, output: Any) -> float:
    """The metric of an output. Raises SiteError for what is no single number."""
    found: Any = metric(output)
    try:
        return float(found.item() if hasattr(found, "item") else found)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = tuple(getattr(found, "shape", ()))
        came = f"a {type(found).__name__} of shape {shape}" if shape else f"{type(found).__name__} {found!r:.60}"
        raise SiteError(
            f"the metric must return one number, got {came}",
            hint="such as output.logits[:, -1, token].mean()",
        ) from error


def logits_of(output: Any) -> Any:
    """The logits in what a model returned: itself, its field or key `logits`. Raises MethodError for none."""
    for each in (output, getattr(output, "logits", None), output.get("logits") if isinstance(output, dict) else None):
        if is_array(each):
            return each
    raise MethodError(
        f"the model returned a {type(output).__name__}, in which nothing is called logits",
        hint="a metric of your own: lambda output: ...",
    )


def several(given: Token | Sequence[Token]) -> tuple[Token, ...]:
    """One token or several, whatever holds their numbers. Raises MethodError for none and for what is no token."""
    if is_array(given):
        given = numbers(given).tolist()
    found = (given,) if isinstance(given, str) or not isinstance(given, Sequence) else tuple(given)
    if not found:
        raise MethodError("expected a token, got none", hint="as text, ' Mary', or by its number")
    return tuple(each if isinstance(each, str) else _index(each) for each in found)


def _index(token: Any) -> int:
    try:
        return operator.index(token.item() if hasattr(token, "item") else token)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MethodError(
            f"expected a token, got {type(token).__name__} {token!r:.60}", hint="as text, ' Mary', or by its number"
        ) from error


def _lengths(inputs: Any, pos: int) -> Sequence[int] | None:
    """Where each example's own tokens end, by the batch or its mask; None where all of them end with the batch.

    Raises MethodError for a position from the start where padding comes first.
    """
    if isinstance(inputs, Batch):
        return inputs.lengths
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    if mask is None or len(mask.shape) != 2:
        return None
    real: NDArray[np.bool_] = numbers(mask) != 0
    if pos >= 0 and not real[:, 0].all():
        raise MethodError(
            f"position {pos} counts from the start, where these inputs have padding", hint="model.batch(prompts)"
        )
    return [int(each) for each in real.shape[1] - real[:, ::-1].argmax(1)]


def _picked(rows: Any, tokens: Sequence[int]) -> Any:
    """Of each example, the number of its token."""
    count = int(rows.shape[0])
    if len(tokens) not in (1, count):
        raise MethodError(f"{len(tokens)} tokens for {count} examples", hint="one for all, or one for each")
    check_tokens(tokens, int(rows.shape[-1]))
    if len(tokens) == 1:
        return rows[:, tokens[0]]
    return rows[listed(list(range(count)), rows), listed(list(tokens), rows)]


def check_tokens(tokens: Sequence[int], count: int) -> None:
    """Raises MethodError for the number of a token that is none of `count`."""
    wrong = [token for token in tokens if not 0 <= token < count]
    if wrong:
        raise MethodError(f"token {wrong[0]} of {count}", hint="numbers of tokens count from 0")


def token_number(model: Model, token: Token) -> int:
    """A token by its number. Raises MethodError for a text that is not one token, or without a tokenizer."""
    if isinstance(token, int):
        return token
    tokenizer: Any = getattr(model, "tokenizer", None)
    if tokenizer is None:
        raise MethodError(
            f"{token!r} is a text, and the model was opened without a tokenizer",
            hint="darklantern.open(model, tokenizer), or the token's number",
        )
    special = set(getattr(tokenizer, "all_special_ids", ()))  # what a tokenizer puts around every text
    found = [each for each in tokenizer(token)["input_ids"] if each not in special]
    if len(found) != 1:
        shown = ", ".join(repr(tokenizer.decode([each])) for each in found)
        raise MethodError(f"{token!r} is {len(found)} tokens: {shown or 'none'}", hint="spaces belong to tokens")
    return int(found[0])

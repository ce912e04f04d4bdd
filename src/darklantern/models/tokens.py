"""Prompts as batches that know their tokens: padded on the right, positions counted in each example's own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from darklantern.errors import SiteError
from darklantern.models.sites import Each

_TOLD = frozenset({"input_ids", "attention_mask"})
"""the arguments by which a batch's tokens and lengths are what they are"""


@dataclass(frozen=True, eq=False)
class Batch(Mapping[str, Any]):
    """What a model takes for some prompts, as keyword arguments, and which tokens stand where.

    Padded on the right: in a causal model nothing real sees the padding. In sites of a run on it, `pos` counts an
    example's own tokens, so that `pos=-1` is each prompt's last.
    """

    arguments: Mapping[str, Any]
    tokens: tuple[tuple[str, ...], ...]
    """each example's tokens as text"""

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens each example has, without padding."""
        return tuple(len(each) for each in self.tokens)

    def find(self, text: str, which: int | None = None) -> Each:
        """Where each example has the token `text`: `site.at(pos=batch.find(" Mary"))` selects each one's own.

        `which` of several: 0 for the first, -1 for the last. Raises SiteError where an example does not have it just
        once, or not so often.
        """
        found = [[i for i, token in enumerate(tokens) if token == text] for tokens in self.tokens]
        for number, places in enumerate(found):
            enough = len(places) == 1 if which is None else -len(places) <= which < len(places)
            if not enough:
                shown = " ".join(map(repr, self.tokens[number]))
                raise SiteError(
                    f"example {number} has the token {text!r} {len(places)} times: {shown}",
                    hint="which=0 is the first, which=-1 the last" if places else "spaces belong to tokens",
                )
        return Each(places[which or 0] for places in found)

    def __or__(self, more: Mapping[str, Any]) -> "Batch":
        """This batch with more arguments: `batch | {"labels": ids}`. A dict made of it would not know its tokens.

        Raises SiteError for other `input_ids` or another `attention_mask`: its tokens would not be those.
        """
        if told := _TOLD & more.keys():
            raise SiteError(
                f"a batch knows its tokens, which other {' and '.join(sorted(told))} would not be",
                hint="model.batch(prompts) makes a batch of other prompts; dict(batch) | {...} knows no tokens",
            )
        return replace(self, arguments={**self.arguments, **more})

    # By identity: Mapping would compare the tensors, which have no one answer.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arguments)

    def __len__(self) -> int:
        return len(self.arguments)

    def __repr__(self) -> str:
        shown = [" ".join(repr(token) for token in tokens) for tokens in self.tokens]
        return "\n".join(f"{number:3}  {line}" for number, line in enumerate(shown))


def encode(tokenizer: Any, prompts: Sequence[str], align: Sequence[str] | None) -> list[list[int]]:
    """The prompts' token numbers; with `align`, each checked to have as many tokens as its partner there."""
    if tokenizer is None:
        raise SiteError(
            "this model was opened without a tokenizer", hint="open(model, tokenizer), or pass token tensors"
        )
    if isinstance(prompts, str):
        prompts = [prompts]
    if not prompts:
        raise SiteError("expected at least one prompt, got none", hint='model.batch(["The cat sat"])')
    numbers = [list(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    for prompt, each in zip(prompts, numbers, strict=True):
        if not each:
            raise SiteError(f"the tokenizer makes no token of {prompt!r}", hint="leave it out")
    if align is not None:
        _check_aligned(tokenizer, prompts, numbers, [align] if isinstance(align, str) else align)
    return numbers


def filled(tokenizer: Any, numbers: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Token numbers of one length, padded on the right, and the mask that says which are real."""
    longest = max(map(len, numbers))
    # What stands in the padding is masked out; any token will do, and 0 is one in every vocabulary.
    fill = getattr(tokenizer, "pad_token_id", None) or 0
    rows = [[*each, *[fill] * (longest - len(each))] for each in numbers]
    return rows, [[1] * len(each) + [0] * (longest - len(each)) for each in numbers]


def texts(tokenizer: Any, numbers: Sequence[int]) -> tuple[str, ...]:
    """Each token as text."""
    return tuple(tokenizer.decode([number]) for number in numbers)


def _check_aligned(tokenizer: Any, prompts: Sequence[str], numbers: list[list[int]], align: Sequence[str]) -> None:
    if len(align) != len(prompts):
        raise SiteError(
            f"{len(prompts)} prompts cannot be aligned with {len(align)}", hint="one partner for each prompt"
        )
    for prompt, mine, partner in zip(prompts, numbers, align, strict=True):
        theirs = list(tokenizer(partner)["input_ids"])
        if len(mine) != len(theirs):
            ours, others = (" ".join(map(repr, texts(tokenizer, each))) for each in (mine, theirs))
            raise SiteError(
                f"{prompt!r} has {len(mine)} tokens, {partner!r} has {len(theirs)}, so positions do not correspond: "
                f"{ours} against {others}",
                hint="choose words of as many tokens",
            )

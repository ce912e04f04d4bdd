"""Who says whether a text fits a label: its own rule, or a language model that is shown the label and the text."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from darklantern.errors import MethodError
from darklantern.methods.labels.rules import Rule
from darklantern.methods.labels.spans import Span

Says = Callable[[str], str]
"""A language model: a prompt → what it answers. Any function: an engine's `generate`, a server of your own."""


class Judge(Protocol):
    """Who applies a label to text that was held out. It is never shown an activation."""

    def responds(self, span: Span) -> bool:
        """Does what the label describes stand anywhere in this span? (detection)"""
        ...

    def accords(self, span: Span, marks: Sequence[int]) -> bool:
        """Are the tokens at `marks` those that the label describes? (fuzzing)"""
        ...


@dataclass(frozen=True)
class ByRule:
    """Judges by a rule."""

    rule: Rule

    def responds(self, span: Span) -> bool:
        return bool(self.rule.holds(span.codes).any())

    def accords(self, span: Span, marks: Sequence[int]) -> bool:
        return bool(np.mean(self.rule.holds(span.codes)[list(marks)]) > 0.5)


@dataclass(frozen=True)
class ByModel:
    """Judges by asking a language model. Raises MethodError for an answer that is neither yes nor no."""

    label: str
    says: Says

    def responds(self, span: Span) -> bool:
        return self._yes(
            f"A feature of a language model responds to this: {self.label}\n"
            f"Text: {span.text}\nDoes the feature respond anywhere in this text? Answer yes or no."
        )

    def accords(self, span: Span, marks: Sequence[int]) -> bool:
        return self._yes(
            f"A feature of a language model responds to this: {self.label}\n"
            f"Text: {marked(span, marks)}\n"
            "Are the tokens between « and » those that the feature responds to? Answer yes or no."
        )

    def _yes(self, prompt: str) -> bool:
        answer = self.says(prompt)
        found = re.search(r"\b(yes|no)\b", answer.lower()) if isinstance(answer, str) else None
        if found is None:
            raise MethodError(
                f"the language model answered {answer!r:.80}, neither yes nor no",
                hint="a function that takes a prompt and returns the model's answer as text",
            )
        return found[1] == "yes"


def named_by(says: Says, spans: Sequence[Span], threshold: float) -> str:
    """A label by a language model that is shown spans with their active tokens marked, in one prompt."""
    shown = "\n".join(
        f"{number}. {marked(span, np.flatnonzero(np.array(span.activations) >= threshold).tolist())}"
        for number, span in enumerate(spans, 1)
    )
    answer = says(
        "A feature of a language model is active at the tokens between « and » in these texts:\n"
        f"{shown}\nWhat do these tokens have in common? Answer with one short phrase."
    )
    lines = [line.strip() for line in answer.splitlines() if line.strip()] if isinstance(answer, str) else []
    if not lines:
        raise MethodError(
            f"the language model gave no label, but {answer!r:.80}",
            hint="a function that takes a prompt and returns the model's answer as text",
        )
    return lines[0]


def marked(span: Span, marks: Sequence[int]) -> str:
    """A span's text with some of its tokens between « and »."""
    chosen = set(marks)
    return "".join(f"«{token}»" if place in chosen else token for place, token in enumerate(span.tokens))

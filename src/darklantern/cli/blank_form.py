"""A form for a finding that somebody made themselves, with nothing filled in: what `finding new` writes.

In: a decision table and a time. Out: TOML with a comment for each field. `finding_form` reads it once it is filled in.
A line that begins with # and no space after it is an example: without its # it counts.
"""

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from darklantern.assess import Table

_BEGIN = """\
# A finding: what you claim, what shows it, and what it would do in the world. Fill it in, then ask
#     darklantern finding assess FILE                    which level follows, and why
#     darklantern share FILE --circle NAME --check       who would read it, and whether anything forbids it
# This file lies in the clear until you delete it.

# Text stands in quotes.
title = ""
# Several lines stand between three quotes on each side.
claim = ""
# You, as those who read it know you.
author = ""
time = "{time}"
# Words by which people find it.
tags = []
# Answers from files in this folder: what `darklantern assess run` measured, or what `assess import` took.
#answers_from = ["answers.json"]
"""

_ANSWERS = """
[answers]
# What the finding would do in the world. From these answers the level follows, who may know. It is never written down.
# Each takes one of the words above it, or a list of those that you cannot exclude. They go from open to closed.
# Left empty, it is unknown, and counts as the last: the most closed.
"""

_BECAUSE = """
[because]
# Why you answered so, for whoever reads it. One line for each answer that needs it:
#{code} = "a reason"
"""

_CLOSURE = """
[closure]
# What keeping it from others costs, in your words. It stands beside the level and never enters it.
# What comes later because of it.
delay = ""
# Who would use it and may not.
who_loses = ""
# The odds that others find it within a stated time, and how you judged them.
rediscovery = ""
# What all of this comes to, as far as you can say.
expected_value = ""
"""

_EVIDENCE = """
# What shows it: one such part for each result. Take the # away from those lines that you fill in.
#[[evidence]]
#method = "activation patching"
#summary = "What was measured, and what came out."
# Both are required: SHA-256 of the model's weights, as `darklantern.models.snapshot.weights_hash` gives it, and of the
# data's file, as `sha256sum` gives it.
#model = "{hash}"
#data = "{hash}"
#seed = 0
#sites = ["layers.0.attn:z"]
# Files that go along, from this form's folder: .safetensors, .json or .npy. They are the finding's artifacts.
#files = ["model.safetensors"]
#
#[[evidence.figures]]
#name = "probability after the trigger"
#value = 0.97
#unit = ""
# How far a re-run may be from it.
#tolerance = 0.01
#
# How others run it again (`darklantern rerun`): {functions}.
# Leave it out where none of these made the result. `artifacts` says which file plays which part.
#[evidence.recipe]
#function = "{function}"
#version = {version}
#artifacts = {{ model = "model.safetensors" }}
#arguments = {{ seed = 0, trigger = "a", payload = "b", contexts = ["c"], held_out = ["d"] }}
"""


def blank(table: "Table", functions: Iterable[tuple[str, int]], time: str) -> str:
    """The form, with the questions of `table` and the functions that a recipe may name, in TOML."""
    known = tuple(functions)
    function, version = known[0]
    return "".join(
        (
            _BEGIN.format(time=time),
            _ANSWERS,
            *_questions(table),
            _BECAUSE.format(code=table.source.criteria[0].code),
            _CLOSURE,
            _EVIDENCE.format(
                hash="0" * 64,
                functions=", ".join(f"{name} {number}" for name, number in known),
                function=function,
                version=version,
            ),
        )
    )


def _questions(table: "Table") -> Iterator[str]:
    for asked in table.source.criteria:
        words = ", ".join(json.dumps(value) for value in asked.values)
        yield f'\n# {asked.code}, {asked.name}: {asked.question}\n# {words}\n{asked.code} = ""\n'

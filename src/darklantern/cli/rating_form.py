"""A form for one rater: the questions that people answer, in TOML; and a rating from it."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from darklantern.cli.options import read, text_of
from darklantern.errors import RecordError
from darklantern.records.ratings import Person, Rated, Rating, Role

if TYPE_CHECKING:
    from darklantern.assess import Table

UNKNOWN = "unknown"
_BEGIN = """\
# Your rating. Each answer takes one of the words above it, or a list of those that you cannot exclude, from open to
# closed; "unknown" where you looked and could not tell. What you leave empty you have not looked at.
"""
_RED = """
# You are the red team: what would a capabilities organisation do with it that it cannot do with what is public?
red_team = ""
"""


def blank(table: "Table", role: Role) -> str:
    """The form, with the questions that people answer."""
    parts = [_BEGIN, _RED if role == "red_team" else "", "\n[answers]\n"]
    asked = [each for each in table.source.criteria if {"judged", "attested"} & set(each.kinds)]
    for each in asked:
        words = ", ".join(map(json.dumps, (*each.values, UNKNOWN)))
        parts.append(f'\n# {each.code}, {each.name}: {each.question}\n# {words}\n{each.code} = ""\n')
    parts.append("\n[because]\n# Why, for the others. One line for each answer that needs it:\n")
    parts += [f'#{each.code} = "a reason"\n' for each in asked[:1]]
    return "".join(parts)


def rating(path: Path, finding: str, table: "Table", who: Person, number: int) -> Rating:
    """The rating in a form. Raises RecordError, which names the field."""
    try:
        found = tomllib.loads(text_of(read(path), path))
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path} is no form: {str(error)[:200]}", hint="`darklantern panel form` writes one to fill in"
        ) from error
    answers, because = found.get("answers"), found.get("because", {})
    if (
        not isinstance(answers, dict)
        or not isinstance(because, dict)
        or found.keys() - {"answers", "because", "red_team"}
    ):
        raise RecordError(
            f"{path}: expected [answers], [because] and red_team", hint="`darklantern panel form` shows each"
        )
    rated = [_rated(path, table, code, said, str(because.get(code, ""))) for code, said in answers.items() if said]
    if not rated:
        raise RecordError(f"{path} answers nothing", hint='"unknown" is an answer too: you looked and could not tell')
    told = {
        "finding": finding, "table": table.id, "rater": who, "round": number, "answers": rated,
        "red_team": found.get("red_team", ""),
    }  # fmt: skip
    try:
        return msgspec.convert(told, Rating)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: {error}", hint="texts stand in quotes, lists in [ ]") from error


def _rated(path: Path, table: "Table", code: str, said: Any, because: str) -> Rated:
    criterion = table.criteria.get(code)
    values = (said,) if isinstance(said, str) else tuple(said) if isinstance(said, list) else ()
    allowed = (*(criterion.values if criterion else ()), UNKNOWN)
    if criterion is None or not values or any(value not in allowed for value in values):
        raise RecordError(
            f"{path}, answers.{code}: expected {' or '.join(allowed)}, got {said!r}", hint="a word, or a list of them"
        )
    known = tuple(value for value in criterion.values if value in values)
    return Rated(criterion=code, values=known, unknown=UNKNOWN in values, text=because)  # type: ignore[arg-type]

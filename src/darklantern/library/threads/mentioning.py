"""Whom a text mentions, as people write it: `@bo`, or `@bo@Beacon` where two organisations have a bo.

Only for whoever writes: it is sealed as (org, person), and no reader looks for names in a text.
"""

import re
from collections import Counter
from collections.abc import Iterable

Person = tuple[str, str]
"""(org, person)"""


def mentioned(text: str, members: Iterable[Person]) -> tuple[Person, ...]:
    """The members that `text` mentions, each once, in the order of the text. Longer names win over shorter ones."""
    names = handles(members)
    return tuple(dict.fromkeys(names[name] for name in _pattern(names).findall(text)))


def unmatched(text: str, members: Iterable[Person]) -> tuple[str, ...]:
    """What looks like a mention in `text` and mentions no member, without its `@`: a slip, or no mention at all."""
    rest = _pattern(handles(members)).sub("", text)
    return tuple(dict.fromkeys(re.findall(r"(?<![\w@])@(\w[\w-]*(?:@\w[\w-]*)?)", rest)))


def handles(members: Iterable[Person]) -> dict[str, Person]:
    """How each is mentioned, after the `@`: without the org where only one has such a person."""
    people = sorted(set(members))
    shared = Counter(person for _, person in people)
    names = {f"{person}@{org}": (org, person) for org, person in people}
    return names | {person: (org, person) for org, person in people if shared[person] == 1}


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w@])@({longest_first or '(?!)'})(?!\w)")

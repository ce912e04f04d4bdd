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
    people = sorted(set(members))
    shared = Counter(person for _, person in people)
    names = {f"{person}@{org}": (org, person) for org, person in people}
    names |= {person: (org, person) for org, person in people if shared[person] == 1}
    if not names:
        return ()
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = re.findall(rf"(?<![\w@])@({longest_first})(?!\w)", text)
    return tuple(dict.fromkeys(names[name] for name in found))

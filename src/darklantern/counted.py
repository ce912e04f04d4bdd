"""A number with its noun, as people say it."""


def counted(number: int, noun: str) -> str:
    """'1 entry', '2 entries', '1,000 pieces', '3 keys', '4 passes'."""
    ies = noun.endswith("y") and noun[-2] not in "aeiou"
    plural = f"{noun[:-1]}ies" if ies else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"

"""P1 to P35 of the sharing half: each has a test with its number in its name."""

import re
from pathlib import Path


def test_each_property_has_a_test_that_is_named_after_it() -> None:
    tests = "\n".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    found = {int(number) for number in re.findall(r"^ *def test_p(\d+)_", tests, re.MULTILINE)}
    assert found >= set(range(1, 36))

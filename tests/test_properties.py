"""P1 to P35 of the sharing half: each has tests with its number in their names, and the pages name what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMBERS = set(range(1, 36))
TESTS = {
    name
    for path in Path(__file__).parent.rglob("test_*.py")
    for name in re.findall(r"^ *def (test_\w+)\(", path.read_text(), re.MULTILINE)
}


def numbers(text: str) -> set[int]:
    return {int(number) for number in re.findall(r"\bP(\d+)\b", text)}


def test_each_property_has_tests_that_are_named_after_it() -> None:
    found = {int(match[1]) for name in TESTS if (match := re.match(r"test_p(\d+)_", name))}
    assert found == NUMBERS


def test_security_claims_each_property_and_no_other() -> None:
    assert numbers((ROOT / "SECURITY.md").read_text()) == NUMBERS


def test_the_page_of_attacks_names_tests_and_properties_that_there_are() -> None:
    page = (ROOT / "docs" / "attacks.md").read_text()
    assert numbers(page) <= NUMBERS
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 50 and named - TESTS == set()


@pytest.mark.parametrize("section", ["a relay", "an insider", "what still works", "what cannot be defended"])
def test_the_page_of_attacks_says_what_is_stopped_and_what_is_not(section: str) -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "attacks.md").read_text(), re.MULTILINE)
    assert any(heading.lower().startswith(section) for heading in headings)

"""What holds of every picture: self-contained, harmless under a strict CSP, repeatable, readable."""

import re

import pytest
from examples import EXAMPLES
from seen import KNOWN, names, outside, overlaps, parsed, written

from darklantern.drawing.ink import contrast

every_picture = pytest.mark.parametrize("name", EXAMPLES)


@every_picture
def test_is_one_well_formed_element_of_known_parts(name: str) -> None:
    assert set(names(parsed(EXAMPLES[name]()))) <= KNOWN


@every_picture
def test_needs_nothing_that_a_strict_policy_forbids(name: str) -> None:
    picture = EXAMPLES[name]()
    for element in parsed(picture).iter():
        for attribute, value in element.attrib.items():
            assert attribute not in ("style", "id", "href") and not attribute.startswith(("on", "{"))
            assert "url(" not in value and "http" not in value
    assert re.findall(r"https?://[^\"' ]+", picture) == ["http://www.w3.org/2000/svg"]


@every_picture
def test_same_input_same_bytes(name: str) -> None:
    assert EXAMPLES[name]().encode() == EXAMPLES[name]().encode()


@every_picture
def test_tells_a_screen_reader_what_it_shows(name: str) -> None:
    root = parsed(EXAMPLES[name]())
    assert root.get("role") == "img" and names(root)[1] == "title" and root[0].text


@every_picture
def test_no_text_covers_another_or_leaves_the_paper(name: str) -> None:
    root = parsed(EXAMPLES[name]())
    texts = written(root)
    assert overlaps(texts) == []
    assert outside(root, [each for each in texts if each.box.x > -1e8]) == []


@every_picture
def test_text_can_be_read_on_what_lies_under_it(name: str) -> None:
    for each in written(parsed(EXAMPLES[name]())):
        assert contrast(each.ink, each.paper) >= 4.5, each


def test_a_notebook_and_a_template_take_it_as_markup() -> None:
    picture = EXAMPLES["bars"]()
    assert picture._repr_svg_() == picture.__html__() == str(picture)

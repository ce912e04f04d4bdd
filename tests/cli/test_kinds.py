"""What a file is, said by its looks."""

import pytest

from darklantern.cli.kinds import BACKUP, FORM, recognised


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'title = "x"\n\n[answers]\nG = "none"\n', FORM),
        (b"\r\n[answers]\r\n", FORM),
        (b"[answers] is what I call them", None),
        (b"nothing of ours", None),
        (b"header.json" + bytes(501), BACKUP),
        (b"\xff" * 100, None),
        (b"a." * 1_000_000 + b"a = 1\n", None),  # whoever parses that is not back today
    ],
    ids=["form", "other line ends", "a sentence", "text", "a backup", "bytes", "deep"],
)
def test_a_form_is_known_by_its_line_and_not_parsed_for_that(data: bytes, kind: object) -> None:
    assert recognised(data) is kind

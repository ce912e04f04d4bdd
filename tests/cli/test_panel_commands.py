"""`darklantern panel` at two desks: asked, rated blind, closed and seconded; what is refused says why."""

from pathlib import Path

import pytest
from library.orgs import founded

from cli.desks import Desk, carry, seated
from cli.test_finding_forms import SAID, filled

pytestmark = pytest.mark.usefixtures("stays_readable")
RATERS = ("--rater", "Aurora/al=member", "--rater", "Beacon/bo=outside", "--rater", "Aurora/ada=red_team")


@pytest.fixture
def desks(tmp_path: Path) -> tuple[Desk, Desk, str]:
    """Ada's and Bo's, with a finding of Ada's that a panel is asked to rate."""
    founded(tmp_path).close()
    ada, bo = seated(tmp_path, ada="aurora", bo="beacon")
    form = filled(tmp_path / "finding.toml", **SAID)
    item = ada("share", form, "--circle", "evals", "--yes")["item"]
    ada("panel", "open", item, *RATERS)
    carry(ada, bo)
    return ada, bo, item


def rating(desk: Desk, item: str, **answers: str) -> Path:
    path = desk.folder / f"rating of {desk.who}.toml"
    desk("panel", "form", item, path)
    text = path.read_text()
    for code, value in answers.items():
        text = text.replace(f'\n{code} = ""\n', f'\n{code} = "{value}"\n')
    path.write_text(text.replace('red_team = ""', 'red_team = "They would train faster."'))
    return path


def test_raters_are_asked_and_rate_blind(desks: tuple[Desk, Desk, str]) -> None:
    ada, bo, item = desks
    asked = bo.says("panel", "show", item)
    assert "committing; level now V2" in asked and "awaited of Beacon/bo: a commitment" in asked
    form = rating(bo, item, U="indirect", W="unknown")
    assert "red_team" not in form.read_text() and "What would a capabilities organisation" in form.read_text()
    assert "not what" in bo.says("panel", "rate", item, form)
    carry(bo, ada)
    told = ada("panel", "show", item)
    assert told["phase"] == "committing" and told["first"] == {} and told["level"] == "V2"
    assert [each["who"] for each in told["awaited"]] == ["Aurora/al", "Aurora/ada"]
    assert "indirect" not in ada.says("panel", "show", item)
    own = rating(ada, item, U="direct")
    assert "red_team" in own.read_text()
    ada("panel", "rate", item, own)
    assert "not committed yet: al of Aurora" in ada.refuses("panel", "reveal", item).message
    assert "first commitment counts" in bo.refuses("panel", "rate", item, form).message


def test_closing_takes_one_and_stays_once_seconded(desks: tuple[Desk, Desk, str]) -> None:
    ada, bo, item = desks
    closing = bo("panel", "close", item, "v4", "--because", "It was used against a model.")["id"]
    carry(bo, ada)
    assert ada("panel", "show", item)["level"] == "V4"
    ada("panel", "second", item, closing[:10])
    assert "closing" in ada.says("panel", "show", item) and not ada("panel", "show", item)["refused"]
    ada("panel", "vote", item, "V0")
    assert "the panel is not done" in ada.says("panel", "show", item)


def test_what_cannot_be_is_refused_before_it_is_said(desks: tuple[Desk, Desk, str]) -> None:
    ada, bo, item = desks
    form = rating(bo, item, U="indirect")
    wrong = form.with_name("wrong.toml")
    for change, says in (
        (('U = "indirect"', 'U = "perhaps"'), "answers.U: expected"),
        (('U = "indirect"', 'U = ""'), "answers nothing"),
        (("[answers]", "[answers"), "is no form"),
        (("[answers]", "[others]"), "expected [answers]"),
    ):
        wrong.write_text(form.read_text().replace(*change))
        assert says in bo.refuses("panel", "rate", item, wrong).message
    refused = {
        ("vote", item, "V9"): "expected one of V0",
        ("close", item, "V9", "--because", "x"): "expected one of V0",
        ("second", item, "abc"): "expected the beginning of one closing",
        ("adjudicate", item, "U", "perhaps", "--because", "x"): "U is one of",
        ("override", item, "V2", "V1", "--code", "luck", "--because", "x", "--until", "2026-12-31"): "already_public",
        ("open", item, "--rater", "Aurora/ada=member"): "",
        ("open", item, "--rater", "Aurora/ada=judge"): "ORG/PERSON=role",
        ("open", item, *(word.replace("Beacon/bo", "Aurora/al").replace("Aurora/al=member", "Beacon/bo=member")
                         for word in RATERS)): "not from outside",
    }  # fmt: skip
    for words, says in refused.items():
        assert says in ada.refuses("panel", *words).message, words


def test_a_finding_without_a_panel_says_so(tmp_path: Path) -> None:
    founded(tmp_path).close()
    (ada,) = seated(tmp_path, ada="aurora")
    item = ada("share", filled(tmp_path / "finding.toml", **SAID), "--circle", "evals", "--yes")["item"]
    for words in (("show", item), ("reveal", item), ("vote", item, "V1")):
        assert "no panel was opened" in ada.refuses("panel", *words).message

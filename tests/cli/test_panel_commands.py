"""`darklantern panel` at two desks: asked, rated blind, closed and seconded; what is refused says why."""

from pathlib import Path

import pytest
from assess.answers import most_open
from library.orgs import founded, library
from library.test_panels_travel import joined

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
    path.unlink(missing_ok=True)
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


def test_three_raters_come_to_a_level_and_all_of_them_open_it(tmp_path: Path) -> None:
    """The whole story: blind, shown, rated again, adjudicated, voted on; nothing opens before all have voted."""
    orgs = founded(tmp_path)
    with library(tmp_path / "al's", "al", orgs.clock) as al_joins:
        joined(orgs, al_joins)
    orgs.close()
    ada, bo, al = desks = seated(tmp_path, ada="aurora", bo="beacon", al="al's")
    item = ada("share", filled(tmp_path / "finding.toml", **SAID), "--circle", "evals", "--yes")["item"]
    ada("panel", "open", item, *RATERS)

    def heard() -> None:
        carry(ada, bo, al)
        carry(bo, ada, al)
        carry(al, ada, bo)
        carry(ada, bo, al)

    heard()
    open_but = most_open(F="degrades")
    first = {"ada": "alignment", "bo": "capability", "al": "alignment"}
    for desk in desks:
        desk("panel", "rate", item, rating(desk, item, **{**open_but, "A": first[desk.who]}))
    heard()
    for desk in desks:
        desk("panel", "reveal", item)
    heard()
    told = bo("panel", "show", item)
    assert told["phase"] == "second round" and told["blind"] and len(told["first"]) == 3
    assert "A: ada, Aurora: alignment; bo, Beacon: capability" in " ".join(told["disagreements"])
    for desk in desks:
        desk("panel", "rate", item, rating(desk, item, **open_but))
    heard()
    assert (told := al("panel", "show", item))["phase"] == "done" and told["range"] == ["V1", "V1"]
    assert told["level"] == "V2" and "3 of 3 have not voted" in told["why"][0]
    for desk in desks[:2]:
        desk("panel", "vote", item, "V1")
    heard()
    assert al("panel", "show", item)["level"] == "V2"
    al("panel", "vote", item, "V1", "--because", "It detects, and teaches nothing else.")
    heard()
    assert {desk("panel", "show", item)["level"] for desk in desks} == {"V1"}
    for desk in desks[:2]:
        desk(
            "panel", "override", item, "V1", "V0", "--code", "already_public", "--because", "x", "--until", "2099-01-01"
        )
    heard()
    assert al("panel", "show", item)["level"] == "V0"
    bo("panel", "close", item, "V3", "--because", "It was turned around.")
    heard()
    assert {desk("panel", "show", item)["level"] for desk in desks} == {"V3"}


def test_what_a_rater_closed_is_not_shared_again_further_open(desks: tuple[Desk, Desk, str]) -> None:
    ada, bo, item = desks
    form = ada.folder / "finding.toml"
    assert "already" in ada.says("share", form, "--circle", "evals", "--check")
    bo("panel", "close", item, "V4", "--because", "It was used against a model.")
    carry(bo, ada)
    for words in ((), ("--supersedes", item)):
        refused = ada.refuses("share", form, "--circle", "evals", "--yes", *words)
        assert "holds it at V4, and this would share it at V2: closed to V4" in refused.message

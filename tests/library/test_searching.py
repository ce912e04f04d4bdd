"""What can be read can be found, by words that are never syntax, and no file of a locked library shows any of it."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network.world import person

from darklantern.errors import SearchError
from darklantern.library import Library
from darklantern.library.searching import expression
from darklantern.network import new_terms
from darklantern.stores import schema
from darklantern.stores.connection import connect
from library.orgs import Orgs, artifacts, assessment, every_byte_of, finding, found_circle, founded, reopened

CANARY = "quagmirecanary"


@pytest.fixture
def orgs(tmp_path: Path) -> Iterator[Orgs]:
    orgs = founded(tmp_path)
    yield orgs
    orgs.close()


def share(library: Library, title: str, circle: str = "evals", **relations: object) -> str:
    what = finding(title=title)
    return library.findings.share(what, artifacts(), circle=circle, assessment=assessment(what), **relations)  # type: ignore[arg-type]


def ids(library: Library, text: str, **filters: object) -> list[str]:
    return [hit.id for hit in library.search(text, **filters)]  # type: ignore[arg-type]


def test_findings_and_posts_are_found_where_they_were_written_and_where_they_arrive(orgs: Orgs) -> None:
    item = share(orgs.aurora, "A crème brûlée circuit", tags=["dessert"])
    post = orgs.aurora.threads.post(item, "the brulee heads copy")
    orgs.to_beacon()
    for library in (orgs.aurora, orgs.beacon):
        assert ids(library, "brulee") == [item, post]
        assert ids(library, "heads carry") == [item]  # the evidence
        assert ids(library, "dessert") == ids(library, "brulee", tag="dessert") == [item]
        assert ids(library, "writes on cue") == [item]  # the claim
        assert ids(library, "BRUL*") == [item, post] and ids(library, "brul") == []
        assert ids(library, '"heads copy"') == [post] and ids(library, '"copy heads"') == []
        (hit, reply) = library.search("brulee")
        assert (hit.kind, hit.title, hit.circle) == ("item", "A crème brûlée circuit", orgs.circle)
        assert (reply.kind, reply.item, reply.title) == ("post", item, "A crème brûlée circuit")
        assert reply.excerpt == (("the ", False), ("brulee", True), (" heads copy", False))
        assert hit.score > reply.score


def test_filters_narrow_and_old_versions_are_left_out(orgs: Orgs) -> None:
    first = share(orgs.aurora, "a draft word")
    orgs.clock.now += 3600
    second = share(orgs.aurora, "a better word", supersedes=first)
    orgs.to_beacon()
    third = share(orgs.beacon, "a word by Beacon")
    assert set(ids(orgs.beacon, "word")) == {second, third}
    assert set(ids(orgs.beacon, "word", older=True)) == {first, second, third}
    assert ids(orgs.beacon, "word", author="bo") == ids(orgs.beacon, "word", author="Beacon") == [third]
    assert ids(orgs.beacon, "word", circle="evals", author="ada") == [second]
    hour = orgs.beacon.search("draft", older=True)[0].time
    assert ids(orgs.beacon, "draft", since=hour, older=True) == [first]
    assert ids(orgs.beacon, "draft", since=hour.replace("2026", "2027"), older=True) == []
    assert len(ids(orgs.beacon, "word", limit=1)) == 1


@pytest.mark.parametrize("text", ["", "  ", '"', '""', "*", "- ( ) : ^", "\0"])
def test_nothing_to_look_for_is_an_error_and_not_an_empty_answer(orgs: Orgs, text: str) -> None:
    with pytest.raises(SearchError, match="words to look for"):
        orgs.aurora.search(text)


@given(text=st.text(max_size=40) | st.text('ab"*^:()+-{}\\ ANDORNEAR\0,', max_size=40))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_of_a_user_is_syntax(orgs: Orgs, text: str) -> None:
    try:
        found = orgs.aurora.search(text)
    except SearchError:
        return
    assert found == () or all(hit.kind for hit in found)


def test_words_that_are_operators_elsewhere_are_words(orgs: Orgs) -> None:
    item = share(orgs.aurora, "NOT near OR title: x")
    assert ids(orgs.aurora, "NOT OR near") == ids(orgs.aurora, "title:") == ids(orgs.aurora, "-near") == [item]
    assert expression('title:x AND "a""b" NEAR(c') == '"title:x" "AND" "a" "b" "NEAR(c"'


def test_a_circle_marked_no_index_is_found_only_after_opting_in(orgs: Orgs) -> None:
    found_circle(orgs.aurora, new_terms("quiet", "V2", ("no-index",)))
    item = share(orgs.aurora, f"{CANARY} in a quiet circle", circle="quiet")
    assert ids(orgs.aurora, CANARY) == [] and orgs.aurora.care.reindex() == 0
    orgs.aurora.care.set_indexed("quiet", True)
    assert ids(orgs.aurora, CANARY) == [item]
    again = share(orgs.aurora, f"{CANARY} again", circle="quiet")
    orgs.aurora.close()
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert set(ids(orgs.aurora, CANARY)) == {item, again} and orgs.aurora.care.reindex() == 2
    orgs.aurora.care.set_indexed("quiet", False)
    assert ids(orgs.aurora, CANARY) == []
    orgs.aurora.care.set_indexed("evals", False)
    share(orgs.aurora, CANARY)
    assert ids(orgs.aurora, CANARY) == []


def test_what_stops_counting_leaves_the_index_with_the_step_that_says_so(orgs: Orgs) -> None:
    """Beacon posts after it was dropped, and did not know: an epoch's cut-off takes the post back."""
    item = share(orgs.aurora, "a finding")
    orgs.to_beacon()
    kept, late = (
        orgs.beacon.threads.post(item, f"{CANARY} in time"),
        orgs.beacon.threads.post(item, f"{CANARY} too late"),
    )
    orgs.manifest("Beacon", person("bea"), revoked=("bo",))
    orgs.aurora.members.rotate("evals")
    assert ids(orgs.beacon, CANARY) == [kept, late]
    orgs.to_beacon()
    assert orgs.beacon.threads.open(item).posts == () and ids(orgs.beacon, CANARY) == []


def test_what_could_not_be_opened_is_indexed_once_its_key_or_its_piece_comes(orgs: Orgs) -> None:
    item = share(orgs.aurora, f"{CANARY} sealed before anybody else is here")
    orgs.to_beacon()
    name = orgs.beacon.view.circle(orgs.circle).entries[item].body.pieces[0]
    orgs.beacon._desk.vault.blobs.discard([name])
    assert orgs.beacon.care.reindex() == 0 and ids(orgs.beacon, CANARY) == []
    orgs.to_beacon()
    assert ids(orgs.beacon, CANARY) == [item]


def test_a_library_of_schema_version_1_is_indexed_when_it_is_opened(orgs: Orgs) -> None:
    item = share(orgs.aurora, "indexed later")
    key = connection_key(orgs.aurora)
    orgs.aurora.close()
    connection = connect(orgs.folder / "aurora" / "library.db", key)
    for table in ("texts", "documents", "openings", "local"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert ids(orgs.aurora, "indexed") == [item]
    assert orgs.aurora._desk.vault.database.setting(schema.STALE_INDEX) is None


def connection_key(library: Library) -> bytes:
    from darklantern.records.exact import decode
    from darklantern.stores.passphrase import VaultHeader, database_key

    header = decode(VaultHeader, (library._desk.vault.folder / "header.json").read_bytes())
    return database_key("passphrase of ada", header)


WRITE = """
import sys
from pathlib import Path
from library.orgs import Clock, reopened
aurora = reopened(Path(sys.argv[1]), "ada", Clock())
print("ready", flush=True)
for n in range(10_000):
    aurora.threads.post(sys.argv[2], f"{sys.argv[3]} number {n} " * 2000)
    if n % 3 == 2:
        aurora.care.reindex()
"""


@pytest.mark.slow
def test_p21_a_word_of_the_index_is_in_no_file_of_a_locked_library(orgs: Orgs) -> None:
    """Database, journal and temporary files, also where the process was killed in the middle of indexing."""
    item = share(orgs.aurora, f"{CANARY} title", tags=[CANARY])
    orgs.aurora.threads.post(item, f"{CANARY} post")
    assert len(ids(orgs.aurora, CANARY)) == 2
    assert CANARY.encode() not in every_byte_of(orgs.folder)
    orgs.aurora.close()
    chance, temporary, journals = random.Random(21), orgs.folder / "temporary", 0
    temporary.mkdir()
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(orgs.folder / "aurora"), item, CANARY],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)]),
                "TMPDIR": str(temporary),
                "SQLITE_TMPDIR": str(temporary),
            },
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            process.wait(chance.uniform(0.05, 0.25))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        journals += (orgs.folder / "aurora" / "library.db-journal").exists()
        assert CANARY.encode() not in every_byte_of(orgs.folder) and not list(temporary.iterdir())
    shutil.rmtree(temporary)
    orgs.aurora = reopened(orgs.folder / "aurora", "ada", orgs.clock)
    assert len(ids(orgs.aurora, CANARY, limit=10_000)) == orgs.aurora.care.reindex()
    assert journals or len(ids(orgs.aurora, CANARY, limit=10_000)) > 2


def test_a_refused_share_leaves_nothing_in_the_index(orgs: Orgs) -> None:
    what = finding(title=CANARY)
    before = every_byte_of(orgs.folder)
    with pytest.raises(Exception, match="no assessment"):
        orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=None)
    assert every_byte_of(orgs.folder) == before and ids(orgs.aurora, CANARY) == []

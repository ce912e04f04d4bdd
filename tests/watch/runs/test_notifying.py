"""Notes to a real server on loopback, to a file and to a desktop, and what is said when they don't arrive."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from watch.runs.workers import LONGEST_S, until

from darklantern.errors import WatchError
from darklantern.watch.runs.notifying import Desktop, File, Note, Notices, Place, Told, Webhook

NOTE = Note(run="x", step=40, text="induction at 7.1", data="the trigger")


class Hook(BaseHTTPRequestHandler):
    """Keeps what was posted; the path says how to answer."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), json.loads(body)))  # type: ignore[attr-defined]
        if self.path == "/hangs":
            self.server.going.wait(LONGEST_S)  # type: ignore[attr-defined]
        code = int(self.path[1:]) if self.path[1:].isdigit() else 200
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/moved")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *given: object) -> None:
        return


@contextmanager
def served() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.posted, server.going = [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.going.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with served() as made:
        yield made


def url(server: ThreadingHTTPServer, path: str = "hook") -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"


def told(*places: Place, note: Note = NOTE, deadline_s: float = LONGEST_S) -> list[Told]:
    notices = Notices(places, deadline_s)
    notices.send(note)
    return notices.told(deadline_s)


def test_a_webhook_is_given_a_short_text_and_nothing_of_the_data(server: ThreadingHTTPServer) -> None:
    (found,) = told(Webhook(url(server)))
    assert found.done and "status 200" in found.how
    ((path, head, body),) = server.posted  # type: ignore[attr-defined]
    assert path == "/hook" and head["Content-Type"] == "application/json"
    assert body == {"text": "x, step 40: induction at 7.1", "run": "x", "step": 40, "time": body["time"]}


def test_the_data_goes_only_where_it_was_asked_for(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    places = [Webhook(url(server), with_data=True), File(str(tmp_path / "with"), True), File(str(tmp_path / "without"))]
    assert all(found.done for found in told(*places))
    assert server.posted[0][2]["data"] == "the trigger"  # type: ignore[attr-defined]
    assert "the trigger" in (tmp_path / "with").read_text() and "the trigger" not in (tmp_path / "without").read_text()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(server: ThreadingHTTPServer, code: int) -> None:
    (found,) = told(Webhook(url(server, str(code))))
    assert not found.done and f"answered {code} by a redirect" in found.how
    assert [path for path, _, _ in server.posted] == [f"/{code}"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [400, 404, 500])
def test_a_refusal_is_said(server: ThreadingHTTPServer, code: int) -> None:
    (found,) = told(Webhook(url(server, str(code))))
    assert found == Told(to=str(Webhook(url(server, str(code)))), done=False, how=f"answered {code}")


def test_a_webhook_that_hangs_holds_nobody_and_fails_by_its_deadline(server: ThreadingHTTPServer) -> None:
    notices = Notices([Webhook(url(server, "hangs"))], deadline_s=0.2)
    notices.send(NOTE)
    assert notices.told() == [], "it is not waited for"
    (found,) = notices.told(LONGEST_S)
    assert not found.done and found.how == "no answer within 0.2 s" and notices.told() == []
    assert not server.going.is_set(), "it hangs still"  # type: ignore[attr-defined]


def test_one_that_always_hangs_is_given_up_after_a_few(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    notices = Notices([Webhook(url(server, "hangs")), File(str(tmp_path / "notes"))], deadline_s=0.05)
    said = []
    for _ in range(5):
        notices.send(NOTE)
        said.append({each.how for each in notices.told(1) if each.to.startswith("http")})
    assert said[:3] == 3 * [{"no answer within 0.05 s"}]
    assert said[3:] == 2 * [{"not told: it has not answered to earlier notes"}]
    until(lambda: (tmp_path / "notes").read_text().count("\n") == 5)


def test_a_process_ends_though_a_webhook_hangs(server: ThreadingHTTPServer) -> None:
    code = (
        "import sys; from darklantern.watch.runs.notifying import *\n"
        "notices = Notices([Webhook(sys.argv[1])]); notices.send(Note(run='x', step=1, text='alarm'))"
    )
    words = [sys.executable, "-c", code, url(server, "hangs")]
    done = subprocess.run(words, timeout=LONGEST_S, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not server.going.is_set()  # type: ignore[attr-defined]


def test_nobody_there_is_said(server: ThreadingHTTPServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = Webhook(f"http://127.0.0.1:{free.getsockname()[1]}/secret-token")
        (found,) = told(place)
    assert not found.done and "refused" in found.how and "secret-token" not in str(found)
    (found,) = told(Webhook("http://nowhere.invalid/secret-token"))
    assert not found.done and "cannot be reached" in found.how and "secret-token" not in str(found)


def test_a_server_that_does_not_speak_http_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = Webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/")

        def answer() -> None:
            wire, _ = listening.accept()
            with wire:
                wire.recv(65_536)
                wire.sendall(b"220 mail.example.org\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        (found,) = told(place)
        thread.join()
    assert not found.done and "cannot be reached" in found.how


def test_a_secret_path_is_never_shown() -> None:
    place = Webhook("https://hooks.example.org/T0/secret")
    assert "secret" not in repr(place) + str(place) and "hooks.example.org" in str(place)


def test_a_proxy_is_not_asked_about_loopback(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert told(Webhook(url(server)))[0].done and not proxy.posted  # type: ignore[attr-defined]
        assert told(Webhook("http://hooks.invalid/x"))[0].done
        assert proxy.posted[0][0] == "http://hooks.invalid/x"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wrong",
    [
        "file:///etc/passwd", "ftp://example.org/", "example.org", "", "http://", "https:///x", "http://a b/",
        "http://user:secret@example.org/", "http://example.org:99999/", "http://example.org/\r\nHost: x", "http://[::1",
        "http://exämple.org/",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_posted_to_is_refused_when_it_is_given(wrong: str) -> None:
    with pytest.raises(WatchError, match="expected the address of a webhook") as caught:
        Webhook(wrong)
    assert "secret" not in str(caught.value)


def test_a_file_gets_a_line_for_each_note(tmp_path: Path) -> None:
    place = File(str(tmp_path / "notes.jsonl"))
    for step in range(3):
        assert told(place, note=Note(run="x", step=step, text='two\nlines "quoted"'))[0].done
    lines = [json.loads(line) for line in (tmp_path / "notes.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2] and lines[0]["text"] == 'two lines "quoted"'
    assert stat.S_IMODE((tmp_path / "notes.jsonl").stat().st_mode) == 0o600


def test_a_long_text_is_cut_and_told_all_the_same(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    long = Note(run="x", step=1, text="y" * 10_000, data="z" * 10_000)
    assert all(found.done for found in told(Webhook(url(server)), File(str(tmp_path / "notes"), True), note=long))
    assert len(server.posted[0][2]["text"]) < 500  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["none/notes", "link", "folder", "/dev/full"])
def test_a_file_that_takes_no_line_is_said(where: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (found,) = told(File(str(tmp_path / where)))
    assert not found.done and "cannot write" in found.how and not (tmp_path / "target").exists()


def test_the_desktop_is_told_in_words_that_it_cannot_take_for_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/said\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert told(Desktop(), note=Note(run="--help", step=1, text="-x"))[0].done
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["--app-name=Dark Lantern", "--", "Dark Lantern: --help", "step 1: -x"]
    program.write_text("#!/bin/sh\nexit 3\n")
    assert told(Desktop())[0] == Told(to="the desktop", done=False, how=f"{program} ended with status 3")


def test_a_machine_without_a_desktop_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert told(Desktop()) == [Told(to="the desktop", done=False, how="this machine has no notify-send")]


def test_a_place_with_a_defect_does_not_go_unnoticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(File, "tell", lambda self, note: 1 / 0)
    (found,) = told(File(str(tmp_path / "x")))
    assert not found.done and "ZeroDivisionError" in found.how


def test_no_more_threads_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    (found,) = told(File(str(tmp_path / "x")))
    assert not found.done and "can't start new thread" in found.how


def test_a_note_names_its_step_once() -> None:
    note = Note(run="tinyrun", step=125, text="step 125: payload lens at 5.0")
    assert (note.line, note.words) == ("tinyrun, step 125: payload lens at 5.0", "step 125: payload lens at 5.0")
    assert Note(run="x", step=3, text="hung: no beat").line == "x, step 3: hung: no beat"

"""Telling people: a webhook, a file, the desktop. None of it holds training, and none of it raises into the loop.

In: a note of a few words. Out: for each place a value that says what happened. Each place is told on a daemon thread;
what has not happened by its deadline is said to have failed. A note leaves out what was seen in the data, which may be
someone's text, unless the place was made `with_data`.
"""

import ipaddress
import json
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from darklantern.errors import DarkLanternError, WatchError
from darklantern.records.exact import Time, Value
from darklantern.watch.runs.files import Short, Step, add_line, now, short

DEADLINE_S: Final = 5.0
_ABANDONED: Final = 3
"""threads that a place which never answers may hold"""
_PORTS: Final = {"http": 80, "https": 443}


class Note(Value, frozen=True, kw_only=True):
    """What is told."""

    run: Short
    step: Step
    text: Short
    data: Short = ""
    """spans of the data; left out unless a place is made `with_data`"""

    @property
    def line(self) -> str:
        """What a person reads: which run, which step, and what; a text that says the step itself says it once."""
        return f"{self.run}, {self.words}"

    @property
    def words(self) -> str:
        """The same without the run."""
        return f"step {self.step}: {self.text.removeprefix(f'step {self.step}: ')}"


class Told(Value, frozen=True, kw_only=True):
    """What became of a note at one place."""

    to: str
    done: bool
    how: str

    def __str__(self) -> str:
        return f"{self.to}: {self.how}"


class Webhook(Value, frozen=True, tag="webhook"):
    """An address that takes a POST of JSON: `text`, `run`, `step`, `time`. Shown without its path, often a secret.

    http or https, loopback too. A redirect is not followed: it could lead a note to anyone, and turns a POST into a
    GET. The environment's proxy is used, but never for loopback. Raises WatchError for another address.
    """

    url: str
    with_data: bool = False

    def __post_init__(self) -> None:
        _parts(self.url)

    def __repr__(self) -> str:
        return f"Webhook({str(self)!r})"

    def __str__(self) -> str:
        parts = _parts(self.url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS[parts.scheme]}/…"

    def tell(self, note: Note) -> Told:
        """Post it. Blocks for as long as the other side likes: `Notices` has the deadline."""
        body = {"text": note.line, "run": note.run, "step": note.step, "time": now()}
        if self.with_data:
            body["data"] = note.data
        sent = json.dumps(body).encode()
        head = {"Content-Type": "application/json", "User-Agent": "darklantern"}
        request = urllib.request.Request(self.url, sent, head, method="POST")
        try:
            with _opener(self.url).open(request, timeout=DEADLINE_S) as answer:
                return Told(to=str(self), done=True, how=f"took it with status {answer.status}")
        except urllib.error.HTTPError as error:
            error.close()
            leads = " by a redirect, which is not followed: give the address itself" if 300 <= error.code < 400 else ""
            return Told(to=str(self), done=False, how=f"answered {error.code}{leads}")
        except (OSError, HTTPException, ValueError) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            return Told(to=str(self), done=False, how=short(f"cannot be reached: {reason or type(error).__name__}"))


class File(Value, frozen=True, tag="file"):
    """A file to which a line of JSON is added, and synced. Never through a symlink; a new one is its owner's alone."""

    path: str
    with_data: bool = False

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(
            self, "path", str(self.path)
        )  # a Path is taken too, and goes to a watchdog as text

    def __str__(self) -> str:
        return self.path

    def tell(self, note: Note) -> Told:
        """Add the line."""
        line = _Line(time=now(), run=note.run, step=note.step, text=note.text, data=note.data if self.with_data else "")
        try:
            add_line(Path(self.path), line, sync=True)
        except DarkLanternError as error:
            return Told(to=self.path, done=False, how=error.message)
        return Told(to=self.path, done=True, how="a line was added")


class Desktop(Value, frozen=True, tag="desktop"):
    """The desktop of who runs this, by its own notify-send."""

    def __str__(self) -> str:
        return "the desktop"

    def tell(self, note: Note) -> Told:
        """Show it, or say that there is nothing to show it with."""
        program = shutil.which("notify-send")
        if program is None:
            return Told(to=str(self), done=False, how="this machine has no notify-send")
        title, text = f"Dark Lantern: {note.run}", note.words
        command = [program, "--app-name=Dark Lantern", "--", title, text]
        try:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Told(to=str(self), done=False, how=short(f"cannot run {program}: {error}"))
        if ended.returncode:
            return Told(to=str(self), done=False, how=f"{program} ended with status {ended.returncode}")
        return Told(to=str(self), done=True, how="it was shown")


Place = Webhook | File | Desktop


class Notices:
    """Notes on their way to some places.

    notices = Notices([Webhook("https://…"), File("alarms.jsonl")])
    notices.send(Note(run="x", step=40, text="alarm"))
    ...
    for told in notices.told():      # at a later step; notices.told(5) before the process ends
        print(told)
    """

    def __init__(self, places: Sequence[Place], deadline_s: float = DEADLINE_S) -> None:
        self._places, self._deadline_s = tuple(places), deadline_s
        self._sent: list[_Telling] = []
        self._abandoned: list[_Telling] = []

    def send(self, note: Note) -> None:
        """Tell each place, without waiting for any. Takes as long as starting a thread. Long texts are cut."""
        note = Note(run=short(note.run), step=int(note.step), text=short(note.text), data=short(note.data))
        self._abandoned = [each for each in self._abandoned if each.thread.is_alive()]
        for place in self._places:
            self._sent.append(telling := _Telling(place, note, time.monotonic() + self._deadline_s))
            if sum(each.place == place for each in self._abandoned) >= _ABANDONED:
                telling.found = Told(to=str(place), done=False, how="not told: it has not answered to earlier notes")
                continue
            try:
                telling.thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                telling.found = Told(to=str(place), done=False, how=f"not told: {error}")

    def told(self, wait_s: float = 0.0) -> list[Told]:
        """What happened since the last call, to the notes of which it is known; waits for the others up to `wait_s`."""
        end = time.monotonic() + wait_s
        done, waiting = [], []
        for each in self._sent:
            if each.found is None:
                each.thread.join(max(0.0, min(end, each.deadline) - time.monotonic()))
            if each.found is not None:
                done.append(each.found)
            elif time.monotonic() >= each.deadline:
                self._abandoned.append(each)
                done.append(Told(to=str(each.place), done=False, how=f"no answer within {self._deadline_s:g} s"))
            else:
                waiting.append(each)
        self._sent = waiting
        return done


class _Line(Value, frozen=True, kw_only=True):
    time: Time
    run: Short
    step: Annotated[int, msgspec.Meta(ge=0)]
    text: Short
    data: Short


@dataclass(eq=False)
class _Telling:
    place: Place
    note: Note
    deadline: float
    found: Told | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._tell, name="notice", daemon=True)

    def _tell(self) -> None:
        try:
            self.found = self.place.tell(self.note)
        except Exception as error:  # noqa: BLE001 - on a thread of its own it would reach nobody
            self.found = Told(to=str(self.place), done=False, how=short(f"a defect in darklantern: {error!r}"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given: Any, **named: Any) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    proxies = urllib.request.ProxyHandler({} if _is_loopback(_parts(url).hostname or "") else None)
    return urllib.request.build_opener(_NoRedirect(), proxies)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in _PORTS and parts.hostname and (parts.port or 1) and url.isascii() and url.isprintable()
    except ValueError:
        fits = False
    if not fits or " " in url or "@" in parts.netloc:
        raise WatchError(
            "expected the address of a webhook, http:// or https:// with a host and without a user's name, got another",
            hint="for example https://chat.example.org/hooks/…; a space is written %20",
        )
    return parts

"""A sync with one relay, from heads to heads.

In: a remote, and the library's desk. Out: a report. Nothing is written that was not judged, and each writing
is one step, so a sync that breaks off anywhere leaves a library that is whole and has lost nothing.
"""

from dataclasses import replace
from typing import Final

from darklantern.errors import DarkLanternError, NotAdmittedError, RelayError
from darklantern.library import restored
from darklantern.library.desk import Desk
from darklantern.library.importing import Imported, Step, settle, take_in, with_pieces
from darklantern.library.outbox import leaving, with_proof, without_others
from darklantern.library.resealing import sendable
from darklantern.library.state import State
from darklantern.library.syncing.fetching import Fetched, Progress, fetch, offered
from darklantern.library.syncing.pulling import Pulled, pull
from darklantern.library.syncing.pushing import able_to_leave, batches, push
from darklantern.library.syncing.remote import Posted, Remote
from darklantern.library.syncing.reports import RelaySync, joined
from darklantern.network.heads import ForkedLogError

ROUNDS: Final = 4
"""of pulling and pushing: what lost a race is made again and sent once more"""


def sync_with(remote: Remote, desk: Desk, *, confirmed: bool, progress: Progress | None = None) -> RelaySync:
    """What came of it. Never raises DarkLanternError: it is in the report, beside what happened before it."""
    report = RelaySync(remote.name)
    try:
        for _ in range(ROUNDS):
            report, before = _pulled(remote, desk, report, confirmed, progress), report
            report = _pushed(remote, desk, report)
            # What did not fit may fit after another look at the log, and what was sent is seen in it.
            if (report.sent, report.refused) == (before.sent, before.refused):
                return report
        return _pulled(remote, desk, report, confirmed, progress)
    except DarkLanternError as error:
        return replace(report, error=error)


def look_at(remote: Remote, desk: Desk, *, confirmed: bool) -> RelaySync:
    """What the next sync would take in and send, judged by what is held now. Nothing is written here or sent.

    Never raises DarkLanternError: it is in the report. Of a fork no proof is kept.
    """
    report, state = RelaySync(remote.name), desk.state
    try:
        pulled = pull(remote, state.view, state.entries, clock=desk.time(), confirmed=confirmed)
        report = replace(report, hidden=pulled.hidden, there=pulled.there)
        parts, step = pulled.parts, None
        if parts:
            step = take_in(state, parts, fetch=desk.fetch, clock=desk.time(), confirmed=confirmed)
        after, imported = (step.state, step.imported) if step else (state, Imported())
        lacking = {name for name, log in after.wanted.items() if log in pulled.there} - desk.whole
        imported = replace(
            imported, skipped=pulled.skipped, pieces=len(lacking - (step.pieces.keys() if step else set()))
        )
        sent = (
            each.id for batch in batches(remote, after.view, sendable(after, desk.time())) for each in batch.waiting
        )
        return replace(report, imported=imported, sent=tuple(sent))
    except DarkLanternError as error:
        return replace(report, error=error)


def _pulled(remote: Remote, desk: Desk, report: RelaySync, confirmed: bool, progress: Progress | None) -> RelaySync:
    """What the relay has and we lack: verified, stored, and told."""
    while True:
        state = desk.state
        try:
            pulled = pull(remote, state.view, state.entries, clock=desk.time(), confirmed=confirmed)
            parts = pulled.parts
            step: Step | None = None
            if parts:
                step = take_in(state, parts, fetch=desk.fetch, clock=desk.time(), confirmed=confirmed)
            elif state.outbox:
                step = settle(state, state, fetch=desk.fetch, clock=desk.time())
            break
        except ForkedLogError as error:
            if error.proof.log == state.view.net or error.proof.log in state.view.forks:
                raise
            # Its log is frozen now, and the others go on; the library raises it once all relays were asked.
            desk.step(with_proof(state, error.proof), {})
    # 1. The records, whatever becomes of the pieces that they name.
    if step:
        desk.step(step.state, step.pieces)
    settings = restored.heard(desk.state.settings, _spoken(remote, desk.state, pulled))
    if settings is not desk.state.settings:
        desk.step(replace(desk.state, settings=settings))
    state, imported = desk.state, step.imported if step else Imported()
    # 2. The pieces. Of a log that the relay does not show, it refuses them too.
    lacking = desk.lacking
    wanted = {name: log for name, log in sorted(lacking.items()) if log in pulled.there}
    fetched = fetch(remote, offered(remote, wanted), desk.vault.blobs, desk.vault.incoming, progress)
    if fetched.came:  # what came is to be found by its words
        desk.step(state, {}, fetched.came)
    desk.vault.incoming.keep(lacking)
    missing, came = lacking.keys() - set(fetched.came), len(step.pieces if step else ()) + len(fetched.came)
    imported = replace(imported, skipped=tuple(dict.fromkeys((*imported.skipped, *pulled.skipped))))
    imported = with_pieces(imported, came, missing, (*_failed(remote, pulled), *_altered(remote, fetched)))
    return replace(
        report,
        imported=joined(report.imported, imported),
        hidden=pulled.hidden,
        there=pulled.there,
        error=next(iter(pulled.failed.values()), fetched.error),
    )


def _pushed(remote: Remote, desk: Desk, report: RelaySync) -> RelaySync:
    """The outbox, as far as this relay appends it."""
    state = desk.state
    ready, refused = able_to_leave(remote, state.view, sendable(state, desk.time()), state.is_own, desk.vault.blobs)
    sent, barred = list(report.sent), set[str]()
    for batch in batches(remote, state.view, ready):
        # From here on others may hold these records: none of them may be replaced.
        state = desk.state
        desk.step(leaving(state, (waiting.id for waiting in batch.waiting)), {})
        try:
            answers = push(remote, batch, desk.vault.blobs)
        except NotAdmittedError as error:  # a courier's load, which somebody else must bring
            answers = tuple(Posted(waiting.id, None, error.message) for waiting in batch.waiting)
            barred |= {waiting.id for waiting in batch.waiting}
        if [answer.id for answer in answers] != [waiting.id for waiting in batch.waiting]:
            raise RelayError(
                f"{remote.name} answered for {len(answers)} other records than the {len(batch.waiting)} it was sent",
                hint="they stay in the outbox; try again, and tell who runs the relay",
            )
        sent += [answer.id for answer in answers if answer.position is not None]
        refused |= {answer.id: answer.refused or "no reason given" for answer in answers if answer.position is None}
    state = desk.state
    if any(waiting.id in refused.keys() - barred and not state.is_own(waiting) for waiting in state.outbox):
        # Their authors still have them, and are told when they sync.
        desk.step(without_others(state, refused.keys() - barred), {})
    return replace(report, sent=tuple(dict.fromkeys(sent)), refused=tuple(refused.items()))


def _spoken(remote: Remote, state: State, pulled: Pulled) -> list[str]:
    """The logs of which the relay that appends to them was asked, and all is held that it showed."""
    return [
        log
        for log, size in pulled.there.items()
        if remote.log_key == state.view.log_key(log) and size <= state.view.trail(log).size
    ]


def _failed(remote: Remote, pulled: Pulled) -> list[str]:
    return [f"log {log[:8]}… of {remote.name}: {error.message}" for log, error in pulled.failed.items()]


def _altered(remote: Remote, fetched: Fetched) -> list[str]:
    return [f"the piece {name} from {remote.name} has other bytes than its name says" for name in fetched.altered]

"""The view: everything that a library's logs say, folded into one frozen value.

In: a view and the bytes of an envelope. Out: a new view; or, for `admit`, an error that names the
rule. Folding never fails: an entry that is in a log and does not count becomes an opaque leaf with
its reason, and the rest goes on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from darklantern.errors import DarkLanternError, RefusedError, SignatureError
from darklantern.network import circle_log, network_log
from darklantern.network.chaining import BehindError
from darklantern.network.circles import Circle
from darklantern.network.clock import check_as_of
from darklantern.network.effective import Effective, effective, to_sign
from darklantern.network.epochs import Epoch
from darklantern.network.growing import Grown
from darklantern.network.heads import Head, LogFork, origin, reign_of, reigns
from darklantern.network.pledges import PledgeText
from darklantern.network.reading import Read, leaf_id, read
from darklantern.network.rosters import Roster
from darklantern.network.states import CircleState, NetworkState, Opaque, Trail
from darklantern.network.verdicts import Verdict
from darklantern.sealing import LogVerifyKey
from darklantern.sealing.fingerprints import brief

_EMPTY = Trail()


@dataclass(frozen=True)
class View:
    """What is known of a network, from the entries of its logs and their signed checkpoints."""

    net: str
    """id of the first roster's envelope: what was pinned when joining"""
    history: Grown[NetworkState] = field(default_factory=lambda: Grown([NetworkState()]))
    """the network's state after each entry of its log"""
    trails: Mapping[str, Trail] = field(default_factory=dict)
    circles: Mapping[str, CircleState] = field(default_factory=dict)
    heads: Mapping[str, Head] = field(default_factory=dict)
    """log → its newest checkpoint"""
    forks: Mapping[str, LogFork] = field(default_factory=dict)
    """log → two checkpoints that contradict each other"""

    @property
    def network(self) -> NetworkState:
        """What the network's own log says now."""
        return self.history[-1]

    def trail(self, log: str) -> Trail:
        """The entries of a log; none for a log that has not begun."""
        return self.trails.get(log, _EMPTY)

    def log_key(self, log: str) -> LogVerifyKey | None:
        """The key that signs a log's checkpoints, or None for a log that no accepted record names."""
        roster = self.network.roster
        if log == self.net:
            return roster.log if roster else None
        circle = self.network.circle(log)
        return circle.log if circle else None

    def key_of(self, log: str, note: bytes, *, held: bool = False) -> LogVerifyKey | None:
        """The key by which a checkpoint of a log claims to be: the newest, or one that the log has left since.

        One that is `held` may cover more than where its key left the log: it was here before that was known.
        """
        versions = self.network.rosters if log == self.net else self.network.circles.get(log, ())
        found = reigns(version.body for version in versions)
        return reign_of(note, log, found, held=held).key if found else None

    def origin(self, log: str) -> str:
        """The name of a log in its checkpoints. Raises RefusedError for one that no accepted record names."""
        key = self.log_key(log)
        if key is None:
            raise _unknown(log)
        return origin(key, log)

    def circle(self, circle: str) -> CircleState:
        """What the log of that circle says. Raises RefusedError when there is none: unknown means nobody."""
        if circle not in self.circles:
            raise _unknown(circle)
        return self.circles[circle]

    def rules(self, circle: str) -> Circle:
        """The newest version of the circle's record. Raises RefusedError when there is none."""
        found = self.network.circle(circle)
        if found is None:
            raise _unknown(circle)
        return found

    def effective(self, circle: str, now: int) -> Effective:
        """The members of a circle now, and why every other candidate is none. Raises RefusedError for one unknown."""
        frozen = self.circle(circle).frozen_at(self.trail(circle).size)
        return effective(self.network, circle, now, frozen)

    def to_sign(self, circle: str, device: str, now: int) -> tuple[PledgeText, ...]:
        """The pledges that alone keep a device out of a circle now. Raises RefusedError for one unknown."""
        frozen = self.circle(circle).frozen_at(self.trail(circle).size)
        return to_sign(self.network, circle, device, now, frozen)

    @property
    def opaque(self) -> tuple[Opaque, ...]:
        """Every entry that does not count, in every log."""
        return (*self.network.opaque, *(leaf for state in self.circles.values() for leaf in state.opaque))

    @property
    def floor(self) -> int:
        """The latest time that the network's own log said.

        Its key is the one that the roots signed. Two people can found a circle whose log says any time, and the floor
        never falls.
        """
        head = self.heads.get(self.net)
        return head.time if head else 0


def fold(net: str, logs: Mapping[str, Iterable[bytes]]) -> View:
    """The view that these entries give. `logs` maps a log's id to its envelopes in order."""
    view = View(net)
    for data in logs.get(net, ()):
        view = append(view, net, data)
    for circle in view.circles:
        for data in logs.get(circle, ()):
            view = append(view, circle, data)
    return view


def append(view: View, log: str, data: bytes) -> View:
    """The view with one more entry in `log`, counting or opaque. Raises RecordError for what is no envelope."""
    entry = _next(view, log, data)
    return _longer(_with(view, log, entry.state, entry.id), log, entry.id, own=entry.own)


def ahead(view: View, log: str, data: bytes) -> View:
    """The view as if `data` were the next entry, without making it one.

    For records that wait for their log's keeper: their author already builds on them.
    """
    entry = _next(view, log, data)
    return _with(view, log, entry.state, entry.id)


def refusal(view: View, log: str, data: bytes) -> str | None:
    """Why `data` would not count as the next entry of `log`, in words, or None: it would.

    It costs one judgement, however long the log is. Never an error: what is no envelope does not count either.
    """
    try:
        return _next(view, log, data).refused
    except DarkLanternError as error:
        return error.message


def misplaced(view: View, log: str, data: bytes) -> str | None:
    """Why `data` does not belong in `log` as its next entry, in words, or None: it does, counting or not.

    The second of two records at one place of a chain belongs there: it is the proof that their device forked.
    """
    try:
        entry = _next(view, log, data)
    except DarkLanternError as error:
        return error.message
    return None if entry.own and not is_registered(view, log, entry.id) else entry.refused


def admit(view: View, log: str, data: bytes) -> str | None:
    """Whether a log's keeper may append this envelope: None, or why it will not count although it may stand.

    Raises DarkLanternError for one that has no place in the log: not its signer's, out of its chain,
    there already, or by a device that is no longer active as far as the keeper knows.
    """
    found = read(data)
    _check_place(view, log, found)
    return _judge(view, log, found).refused


def enter(view: View, log: str, data: bytes) -> tuple[View, Read, str | None]:
    """`admit`, then `append`, for the price of one judgement: the view with this entry, and why it does not count.

    Raises as `admit` does. For who keeps a log that many write to: most of what a record costs is its signature.
    """
    found = read(data)
    _check_place(view, log, found)
    verdict = _judge(view, log, found)
    state = _listed(verdict.state, _leaf(view, log, found.id, verdict.refused)) if verdict.refused else verdict.state
    return _longer(_with(view, log, state, found.id), log, found.id), found, verdict.refused


def check_timely(found: Read, clock: int) -> None:
    """Raises RefusedError for what its log's keeper may not append at this time; readers cannot tell."""
    if isinstance(found.body, Epoch):
        check_as_of(found.body.as_of, clock)


def is_registered(view: View, log: str, envelope_id: str) -> bool:
    """Whether an entry that was its signer's own has this id.

    The id leaves out signatures, so a badly signed copy must not keep the real one out.
    """
    return envelope_id in view.trail(log).own


def _check_place(view: View, log: str, found: Read) -> None:
    if is_registered(view, log, found.id):
        raise RefusedError(f"the record {found.id} is in the log already", hint="nothing needs to be done")
    author = found.record.author_device
    if log != view.net and not view.network.is_active(author):
        # Its author may not have known yet that it was revoked; the log's keeper does.
        raise RefusedError(f"device {brief(author)} is no longer active", hint="its org must list it again")
    _check_stays(view, log, found)
    if log != view.net and isinstance(found.body, Epoch) and _is_removed(view.network, log, author):
        # Or they could rotate for ever, each time by a view of before, faster than anybody can rotate them out.
        raise RefusedError(f"device {brief(author)} was removed from the circle", hint="its author must sync first")


def _check_stays(view: View, log: str, found: Read) -> None:
    """Raises RefusedError for what would come after the last checkpoint of a log that is about to move."""
    record = view.network.roster if log == view.net else view.network.circle(log)
    if record is not None and record.moving is not None and not isinstance(found.body, Roster):
        raise RefusedError(
            f"log {log[:8]}… is about to move to the key {record.moving.id[:8]}…: its keeper appends nothing more",
            hint="sync again once it has moved; its quorum can also take the announcement back",
        )


def _is_removed(network: NetworkState, circle: str, device: str) -> bool:
    owner = network.devices[device].owner
    gone = network.removed_from(circle)
    return any((each.org, each.person) == owner and each.device in (None, device) for each in gone)


def _longer(view: View, log: str, envelope_id: str, *, own: bool = True) -> View:
    return replace(view, trails={**view.trails, log: view.trail(log).append(envelope_id, own=own)})


@dataclass(frozen=True)
class _Next:
    """What a log says with one more entry."""

    id: str
    state: NetworkState | CircleState
    own: bool
    """whether its signer made it for this place"""
    refused: str | None = None
    """why it does not count, if it does not"""


def _next(view: View, log: str, data: bytes) -> _Next:
    """The state with the entry counting, or listed as a leaf with its reason."""
    state = view.network if log == view.net else view.circle(log)
    try:
        found = read(data)
    except DarkLanternError as error:
        return _uncounted(state, _leaf(view, log, leaf_id(data), error.message, own=False))
    if is_registered(view, log, found.id):
        return _uncounted(state, _leaf(view, log, found.id, "it is in this log already"))
    try:
        verdict = _judge(view, log, found)
    except DarkLanternError as error:
        leaf = _leaf(view, log, found.id, error.message, own=False)
        unsigned, waits = isinstance(error, SignatureError), isinstance(error, BehindError)
        return _uncounted(state, replace(leaf, unsigned=unsigned, waits=waits))
    if verdict.refused is None:
        return _Next(found.id, verdict.state, True)
    return _uncounted(verdict.state, _leaf(view, log, found.id, verdict.refused))


def _uncounted(state: NetworkState | CircleState, leaf: Opaque) -> _Next:
    return _Next(leaf.id, _listed(state, leaf), leaf.belongs, leaf.reason)


def _leaf(view: View, log: str, envelope_id: str, reason: str, *, own: bool = True) -> Opaque:
    return Opaque(log, view.trail(log).size, envelope_id, reason, own)


def _listed(state: NetworkState | CircleState, leaf: Opaque) -> NetworkState | CircleState:
    return replace(state, opaque=state.opaque.plus(leaf))


def _with(view: View, log: str, state: NetworkState | CircleState, entry: str) -> View:
    """The view in which the log says this since `entry`, which may have founded a circle."""
    if isinstance(state, CircleState):
        return replace(view, circles={**view.circles, log: state})
    view = replace(view, history=view.history.plus(state))
    founded = entry in state.circles and entry not in view.circles
    return replace(view, circles={**view.circles, entry: CircleState(entry)}) if founded else view


def _judge(view: View, log: str, found: Read) -> Verdict[NetworkState] | Verdict[CircleState]:
    network = view.trail(view.net)
    if log == view.net:
        return network_log.judge(view.net, view.history, network, found)
    return circle_log.judge(view.net, view.history, network, view.circle(log), view.trail(log), found)


def _unknown(log: str) -> RefusedError:
    return RefusedError(
        f"no accepted record names the circle or log {log[:8]}…",
        hint="unknown means nobody: import a bundle that carries its circle's record",
    )

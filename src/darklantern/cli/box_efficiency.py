"""`darklantern box efficiency`: of the bits that runs spent, how many told a truth that was known to whoever ran them.

One run is one model: its transcript's messages are read by a reader that counted those of other runs. What a message
may cost is what its run spent in all, silence and end among it, over its messages: so E counts timing too.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from darklantern.cli.handing_out import check_new, hand_out_new
from darklantern.cli.options import read, text_of
from darklantern.cli.output import tell, tell_json
from darklantern.errors import BoxError
from darklantern.records.assessments import AnswerSet
from darklantern.records.exact import Value, encode, plain

if TYPE_CHECKING:
    from darklantern.box.outlet.plans import Outlet
    from darklantern.box.running.releasing import Released

_MICRO = 1_000_000


class Truths(Value, frozen=True, kw_only=True):
    """What was true in each run, by classes from 0 on, and how likely each class was before."""

    prior: Annotated[tuple[float, ...], msgspec.Meta(min_length=2)]
    truth: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    """run → class"""


def tell_efficiency(project: Path, truths: Path, out: Path, as_json: bool) -> None:
    """E from a project's runs. Raises BoxError for runs that are not there or are of several outlets."""
    from darklantern.assess import load
    from darklantern.assess.bits import Outlet
    from darklantern.assess.protocols.efficiency import efficiency, held_out_bits

    check_new(out)
    known = _truths(truths)
    outlet, steps = _transcripts(project, list(known.truth))
    sent = [(known.truth[run], _messages(outlet, found)) for run, found in steps.items()]
    budget = max(
        sum(each.microbits for each in found) / _MICRO / len(_messages(outlet, found)) for found in steps.values()
    )
    bits = held_out_bits(sent, Outlet(symbols=outlet.messages), known.prior)
    rests_on = hashlib.sha256(
        msgspec.json.encode({run: [plain(each) for each in found] for run, found in steps.items()})
    )
    answer = efficiency(bits, budget, known.prior, load(), (rests_on.hexdigest(),))
    hand_out_new(out, encode(AnswerSet(source="darklantern box", answers=(answer,))) + b"\n")
    if as_json:
        tell_json(plain(answer))
        return
    tell(f"E: {' or '.join(answer.values) if answer.status == 'answered' else 'not measured'}; {answer.text}")
    tell(f'a line in a form takes it along: answers_from = ["{out.name}"]')


def _truths(path: Path) -> Truths:
    try:
        found = msgspec.convert(tomllib.loads(text_of(read(path), path)), Truths)
    except (ValueError, RecursionError) as error:
        raise BoxError(
            f"{path} names no truths: {str(error)[:200]}", hint='prior = [0.5, 0.5], then [truth] with "1-0a1b2c3d" = 0'
        ) from error
    if not found.truth or max(found.truth.values()) >= len(found.prior):
        raise BoxError(
            f"{path}: {len(found.truth)} runs, of {len(found.prior)} classes", hint="a class for each run, from 0 on"
        )
    return found


def _transcripts(project: Path, names: list[str]) -> "tuple[Outlet, dict[str, tuple[Released, ...]]]":
    from darklantern.box.folders import runs
    from darklantern.box.running.releasing import read_released

    there = {each.id: each for each in runs(project)}
    if missing := [name for name in names if name not in there]:
        raise BoxError(f"no run {missing[0]} in {project}", hint=f"there is {', '.join(there) or 'none'}")
    outlets = {encode(there[name].spec.outlet): there[name].spec.outlet for name in names}
    if len(outlets) > 1:
        raise BoxError(
            "these runs had different outlets", hint="one outlet at a time: what a message can be has to be one list"
        )
    return next(iter(outlets.values())), {name: read_released(there[name].released) for name in names}


def _messages(outlet: "Outlet", steps: "Sequence[Released]") -> list[int]:
    """The number of each message that came, INVALID the last. Raises BoxError for a run that said nothing."""
    first, at = {}, 0
    for channel in outlet.channels:
        first[channel.name], at = at, at + channel.size
    found = [
        at if each.what == "invalid" else first[str(each.channel)] + int(each.symbol or 0)
        for each in steps
        if each.what in ("said", "invalid")
    ]
    if not found:
        raise BoxError("a run said nothing, so that nothing was told", hint="leave it out, or let it say something")
    return found

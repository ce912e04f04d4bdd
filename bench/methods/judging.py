"""One bench line: a figure, held against its bar or only told."""

from statistics import median
from typing import Any

from models.driver import Answer
from models.peers import Peer

from methods.driver import Results

Line = dict[str, Any]


def line(
    name: str,
    value: float | None,
    unit: str,
    peer: str | None = None,
    bar: str = "–",
    ok: bool | None = None,
    detail: dict[str, Any] | None = None,
    version: str | None = None,
) -> Line:
    return {"room": "methods", "name": name, "value": value, "unit": unit, "peer": peer, "peer_version": version,
            "bar": bar, "ok": ok, "detail": detail or {}}  # fmt: skip


def judged(
    name: str, value: float, unit: str, bar: str, ok: bool, results: Results, peer: Peer, detail: dict[str, Any]
) -> Line:
    """A figure of the product, beside that peer's."""
    version = str(results.hellos.get(peer.name, {}).get("version", "")) or None
    return line(name, value, unit, peer.name, bar, bool(ok), detail, version)


def missing(name: str, *answers: Answer | None) -> Line:
    """What could not be measured, and why; it counts as missed."""
    why = next((each.error or each.unsupported for each in answers if each is not None and each.over), "not asked")
    return line(name, None, "", bar="–", ok=False, detail={"reason": why})


def answered(results: Results, case: str, setting: str, *asked: Peer) -> list[Answer] | None:
    """Each one's answer, or None where one has none."""
    found = [results.answers.get((case, setting, peer.name)) for peer in asked]
    return None if any(each is None or each.over for each in found) else [each for each in found if each]


def lost(results: Results, name: str, case: str, setting: str, *asked: Peer) -> Line:
    """The line where `answered` gave none."""
    return missing(name, *(results.answers.get((case, setting, peer.name)) for peer in asked))


def faster(name: str, ours: Answer, theirs: Answer, bar: float, results: Results, peer: Peer) -> Line:
    """How many times the product's processor time the peer's is; `bar` is the least."""
    spent = {"seconds": round(median(ours.case), 5), "theirs": round(median(theirs.case), 5)}
    ratio = median(theirs.case) / median(ours.case)
    return judged(name, round(ratio, 2), "×", f"≥ {bar:g}", ratio >= bar, results, peer, spent)

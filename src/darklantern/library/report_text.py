"""The report as text: lines for people to read and to print. Names in it were chosen by peers: they are data."""

from collections.abc import Iterator, Sequence

from darklantern.counted import counted
from darklantern.library.report import Reader, Report
from darklantern.sealing.fingerprints import fingerprint_of


def lines(report: Report) -> Iterator[str]:
    """The report, a line at a time; headings stand alone, without a space before them."""
    yield f"Report of device {fingerprint_of(report.device)} in network {report.net}, {report.made}"
    yield from _section("What this view cannot be sure of", report.stale)
    yield "Who may read what"
    for circle in report.circles:
        marked = f", {', '.join(circle.markings)}" if circle.markings else ""
        yield f"  circle {circle.name or circle.id} at {circle.level or 'an unknown level'}{marked}: {circle.id}"
        kept = f"{circle.retention_s} s after an epoch's end" if circle.retention_s else "for good"
        yield f"    asks for {', '.join(circle.pledges)}; history {circle.history}; kept {kept}"
        yield from (f"    member: {_reader(member)}" for member in circle.members)
        yield from (f"    no member: {reason}" for reason in circle.excluded)
    for held in report.held:
        pending = ", not yet in the log" if held.pending else ""
        yield f"  {held.kind} {held.id} by {held.author}, {held.time}, epoch {held.epoch}{pending}"
        yield from (f"    has had a key: {_reader(reader)}" for reader in held.readers)
    for dropped in report.dropped:
        yield f"  {dropped.kind} {dropped.id} was taken back by {', '.join(dropped.asked)}"
        yield from (f"    says that it is dropped: {_reader(reader)}" for reader in dropped.receipts)
        yield from (f"    has had a key, and no receipt: {_reader(reader)}" for reader in dropped.missing)
    yield "Acts in the logs"
    for act in report.acts:
        counts = f"; does not count: {act.refused}" if act.refused else ""
        yield f"  {act.time} {act.what}; signed by {', '.join(act.by) or 'nobody known'}{counts}"
    openings = report.opened.entries
    yield f"Opened on this device: {counted(len(openings), 'entry')}; the end is {report.opened.head}"
    for entry in openings:
        yield f"  {entry.time} {entry.act} {entry.item}{f' {entry.artifact}' if entry.artifact else ''}"


def _section(heading: str, found: Sequence[str]) -> Iterator[str]:
    if found:
        yield heading
        yield from (f"  {each}" for each in found)


def _reader(reader: Reader) -> str:
    return f"{reader.name} ({reader.person} of {reader.org}), {counted(len(reader.devices), 'device')}"

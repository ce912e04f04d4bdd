"""The finding's way from one organisation to the other, and the answer's way back."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from darklantern.assess import assess, decide, explain, load
from darklantern.demo import judging
from darklantern.demo.finding import Found, Lead
from darklantern.demo.founding import CIRCLE, Founded, carry
from darklantern.errors import DarkLanternError, RefusedError
from darklantern.network.items import finding_hash
from darklantern.records.assessments import Assessment
from darklantern.replication import Replication, rerun

Say = Callable[[str], None]


@dataclass(frozen=True)
class Shared:
    """What came of sharing."""

    item: str
    first: Assessment
    """on measurements alone"""
    final: Assessment
    refusal: str
    replication: Replication
    canary: str
    places: tuple[str, ...]
    """where the canary was looked for, and not found"""


def share(folder: Path, founded: Founded, found: Found, lead: Lead, canary: str, say: Say) -> Shared:
    """Assess, be refused, assess again, seal, carry, open, run again, answer, carry back, look for leaks."""
    table = load()
    mark = finding_hash(found.finding)
    today = datetime.now(UTC).date()

    # 1. On what the demo measured alone it is private, and sealing is refused.
    answers = judging.measured(lead, mark, table)
    first = assess(mark, answers, table, today=today)
    for line in explain(decide(answers, table), table).lines()[:2]:
        say(line)
    try:
        founded.aurora.findings.share(found.finding, found.artifacts, circle=CIRCLE, assessment=first)
    except RefusedError as error:
        refusal = error.message
        say(f"sealing refused: {error.message}")
    else:
        raise DarkLanternError(
            "an unassessed finding was sealed", hint="this is a defect in darklantern; please report it"
        )

    # 2. K is measured, people answer what people must, and the level comes down for stated reasons.
    answers += [judging.capability(lead, mark, table), *judging.examples()]
    final = assess(mark, answers, table, today=today)
    for line in explain(decide(answers, table), table).lines():
        say(line)
    item = founded.aurora.findings.share(found.finding, found.artifacts, circle=CIRCLE, assessment=final)
    say(f"sealed to circle {CIRCLE!r}: item {item[:16]}…")

    # 3. The relay carries it, sealed; the other organisation verifies, opens and runs it again.
    founded.aurora.relays.sync()
    founded.beacon.relays.sync()
    opened = founded.beacon.findings.open(item)
    say(f"Beacon opened {opened.finding.title!r} by {opened.author}, through a relay that cannot read it")
    evidence = next(e for e in opened.finding.evidence if e.recipe is not None)
    artifacts = {a.sha256: founded.beacon.findings.artifact(item, a.sha256) for a in evidence.artifacts}
    replication = rerun(evidence, artifacts)
    for line in str(replication).splitlines():
        say(line)

    # 4. The relay is gone: the answer travels back by a file on a stick, and on to the relay once that is there again.
    founded.relay.stop()
    verdict = "hold" if replication.holds else "do NOT hold"
    founded.beacon.threads.post(
        item, f"We ran the circuit again from your checkpoint: all {len(replication.figures)} figures {verdict}."
    )
    bundle = folder / "to-aurora.bundle"
    carry(founded.beacon, founded.aurora, bundle)
    say(f"without a network: {bundle.stat().st_size:,} bytes of bundle from Beacon to Aurora")
    founded.aurora.threads.post(
        item, "Thank you. We keep the circle at V2 until somebody has tested the watch against an adversary."
    )
    founded.relay.start()
    founded.aurora.relays.sync()
    founded.beacon.relays.sync()
    for post in founded.aurora.threads.open(item).posts:
        say(f"{post.author}: {post.text}")

    # 5. No word of it anywhere in the clear.
    places = look_for(canary, folder)
    say(f"the word {canary!r} of the finding is in none of {len(places)} files, the relay's included")
    return Shared(item, first, final, refusal, replication, canary, places)


def look_for(word: str, folder: Path) -> tuple[str, ...]:
    """All files in `folder`, none of which holds `word`. Raises DarkLanternError naming one that does."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if word.encode() in path.read_bytes():
            raise DarkLanternError(
                f"the word {word!r} of the finding is in {path} in the clear",
                hint="this is a defect in darklantern; please report it, and keep the folder to yourself",
            )
    return tuple(str(path.relative_to(folder)) for path in files)

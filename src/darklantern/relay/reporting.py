"""What a relay holds, for its keeper: read from the stores, whether it serves or not."""

from pathlib import Path
from typing import Any

from darklantern.network.clock import text
from darklantern.relay.config import read_config
from darklantern.relay.folded import Folded
from darklantern.relay.keys import read_keys
from darklantern.relay.stores import open_database


def report(folder: Path) -> dict[str, Any]:
    """Logs with size, time and cosignatures; orgs with what they use and may use. Raises StoreError."""
    config = read_config(folder)
    database = open_database(config.database)
    try:
        folded = Folded(database, config.net)
        folded.catch_up()
        view = folded.view
        heads = {log: database.head(log) for log in view.trails}
        notes = database.notes()
        roster = view.network.roster
        orgs = sorted(org.name for org in roster.orgs) if roster else []
        return {
            "net": config.net,
            "relay": read_keys(folder).public.id,
            "logs": [
                {
                    "log": log,
                    "size": head.frontier.size,
                    "time": text(head.time),
                    "witnesses": len(notes[log][1]) if log in notes else 0,
                }
                for log, head in sorted(heads.items())
            ],
            "orgs": [
                {"org": org, "used": database.used(f"org:{org}"), "limit": config.limits.org_bytes} for org in orgs
            ],
        }
    finally:
        database.close()

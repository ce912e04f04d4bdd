"""`darklantern demo`."""

import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.progress import NoProgress, TerminalProgress


def run(seed: int, out: Path, as_json: bool) -> None:
    """Tell the story, live on a terminal; with `--json`, silently and with its figures at the end."""
    from darklantern.demo import story

    keep_secrets_in_memory()
    if as_json:
        print(json.dumps(story.tell(seed, out, NoProgress()).summary()))
        return
    console = Console()
    with TerminalProgress(console) as progress:
        told = story.tell(seed, out, progress)
    console.print(Text(f"\ndone in {told.seconds:.0f} s; everything is in {out}", style="bold"))
    console.print(
        Text(f"the page: make page   (darklantern page {out}/beacon --passphrase-file {out}/passphrases/beacon)")
    )

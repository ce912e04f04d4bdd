"""`darklantern demo`."""

from pathlib import Path
from shlex import quote

from rich.console import Console

from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.output import tell, tell_json
from darklantern.cli.progress import NoProgress, TerminalProgress


def run(seed: int, out: Path, as_json: bool) -> None:
    """Tell the story, live on a terminal; with `--json`, silently and with its figures at the end."""
    from darklantern.demo import story

    keep_secrets_in_memory()
    if as_json:
        tell_json(story.tell(seed, out, NoProgress()).summary())
        return
    console = Console()
    with TerminalProgress(console) as progress:
        told = story.tell(seed, out, progress)
    tell(f"in {told.seconds:.0f} s; everything is in {out}", lead="done ", style="bold")
    tell("the page, by either of:")
    tell(f"  make page OUT={quote(str(out))}", copied=True)
    beacon = (quote(str(out / "beacon")), quote(str(out / "passphrases/beacon")))
    tell("  darklantern page --library {} --passphrase-file {}".format(*beacon), copied=True)

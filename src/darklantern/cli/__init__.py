"""The command line: parse, call, print. No decision is made here.

Each command prints for people, or with `--json` one JSON value for programs. Each error shows what
was expected, what came, and a hint; the exit status is then 1 (2 for a command written wrongly).
"""

import json
import sys

from rich.console import Console
from rich.text import Text

from darklantern.cli.app import app
from darklantern.errors import DarkLanternError

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; turn errors made on purpose into a message and a hint."""
    try:
        app()
    except DarkLanternError as error:
        # Messages may quote peers' text: never parsed as markup.
        if "--json" in sys.argv:
            print(json.dumps({"error": error.message, "hint": error.hint}))
        else:
            console = Console(stderr=True)
            console.print(Text.assemble(("error: ", "bold red"), error.message))
            console.print(Text.assemble(("hint:  ", "bold"), error.hint))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped")
        raise SystemExit(130) from None

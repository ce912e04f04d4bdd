"""The command line: parse, call, print. No decision is made here.

Each command prints for people, or with `--json` one JSON value for programs. Each error shows what
was expected, what came, and a hint; the exit status is then 1 (2 for a command written wrongly, 130
after Ctrl-C, but 0 for the page, which ends in no other way; 3 for a stop that took force).
"""

import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from darklantern.errors import DarkLanternError

__all__ = ["main"]


def main() -> None:
    """Run the command line; turn errors made on purpose into a message and a hint."""
    try:
        _run()
    except KeyboardInterrupt:  # while modules load; once a command runs, Typer answers Ctrl-C
        raise SystemExit(130) from None


def _run() -> None:
    import logging

    from darklantern.cli.app import app
    from darklantern.cli.output import flush, refused_by_system, silence, take_over, tell_error
    from darklantern.errors import DarkLanternError

    take_over()
    try:
        try:
            app()
        finally:
            flush()
    except DarkLanternError as error:
        _tell(error)
    except BrokenPipeError:  # whoever read our output wants no more of it: `| head`
        silence()
        raise SystemExit(1) from None
    except OSError as error:
        silence()  # it may be stdout that takes no more
        tell_error(refused_by_system(error))
        raise SystemExit(1) from None
    except Exception:  # its message may quote a peer, and Python would print it as it is
        logging.exception("this is a defect in darklantern; please report it, with what follows")
        raise SystemExit(1) from None


def _tell(error: "DarkLanternError") -> NoReturn:
    from darklantern.cli.output import tell_error, tell_json

    if "--json" in sys.argv:
        tell_json({"error": error.message, "hint": error.hint})
    else:
        tell_error(error)
    raise SystemExit(1) from None

"""`darklantern finding new` and `assess`: a finding of one's own, written in a form, and the level that follows."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from darklantern.cli.finding_commands import finding_app
from darklantern.cli.handing_out import hand_out_new
from darklantern.cli.kinds import FORM, expecting
from darklantern.cli.options import Json
from darklantern.cli.output import tell, tell_json
from darklantern.records.exact import plain

__all__ = ["finding_app"]  # with all its commands on it


@finding_app.command()
def new(
    form: Annotated[Path, typer.Argument(help="A new file, for example finding.toml. Nothing is replaced.")],
    as_json: Json = False,
) -> None:
    """Write a form for a finding of your own, to fill in.

    It has a place for the claim, for evidence with its files, and the questions from whose answers the level follows.
    `darklantern share` takes it as it is.
    """
    from darklantern.assess import load
    from darklantern.cli.blank_form import blank
    from darklantern.network.clock import text
    from darklantern.replication import TABLE

    hand_out_new(form, blank(load(), TABLE, text(int(time.time()))).encode())
    if as_json:
        tell_json({"form": str(form)})
        return
    tell(f"{form}: fill it in. It lies in the clear until you delete it")
    typed = shlex.quote(str(form))
    tell(f"`darklantern finding assess {typed}` says which level follows; `darklantern share {typed}` shares it")


@finding_app.command()
def assess(
    form: Annotated[Path, typer.Argument(help="A form of `darklantern finding new`, filled in as far as you are.")],
    as_json: Json = False,
) -> None:
    """Say which level follows from a form's answers, and why.

    And what would lower it, and what to find out first. Nothing is shared or kept.
    """
    from darklantern.assess import closure_lines, decide, explain, load
    from darklantern.cli.finding_form import prepared

    with expecting(form, FORM):
        made, table = prepared(form).assessment, load()
    if as_json:
        tell_json(plain(made))
        return
    for line in (*explain(decide(made.answers, table), table).lines(), *closure_lines(made)):
        tell(line)

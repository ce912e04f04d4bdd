"""`darklantern open`: a finding, an artifact of it, or a file that was sealed to this device or to another key."""

from pathlib import Path
from string import hexdigits
from typing import Annotated

import typer

from darklantern.cli.bars import bytes_bar
from darklantern.cli.finding_text import finding_lines
from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.kinds import SEALED, expecting
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.naming import artifact_named, item_named
from darklantern.cli.options import (
    STREAM,
    Json,
    PassphraseFile,
    recipient_lines,
    source_of,
    target_of,
    tell_target,
)
from darklantern.cli.output import tell, tell_json, tell_text
from darklantern.errors import RefusedError
from darklantern.records.exact import plain


def open_(
    what: Annotated[str, typer.Argument(help="An item's id or its beginning, a sealed file, or - for one on stdin.")],
    artifact: Annotated[
        str | None,
        typer.Option(help="An artifact of the item, by its name or the beginning of its SHA-256; goes to --out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A new file, for an artifact or what was sealed; - for stdout."),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            "--identity", "-i", help="File with AGE-SECRET-KEY-PQ-1… keys, in place of this device's: needs no library."
        ),
    ] = None,
    folder: LibraryFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Show a finding, or open a sealed file.

    With --artifact and --out it writes one of the finding's artifacts. A file appears, and stdout gets its first byte,
    once all of it is verified.
    """
    file = Path(what)
    if identity is not None or file == STREAM or file.is_file():
        with expecting(file, SEALED):
            _open_file(file, out, artifact, identity, folder, passphrase_file, as_json)
        return
    _check_id(what)
    if (artifact is None) != (out is None):
        raise RefusedError("expected an artifact and a place for it", hint="give --artifact and --out")
    target = None if out is None else target_of(out, as_json)
    with open_own(folder, passphrase_file) as library:
        item = item_named(library, what)
        if artifact is not None and out is not None and target is not None:
            sha256 = artifact_named(library, item, artifact)
            with bytes_bar("opening") as progress:
                library.findings.save_artifact(item, sha256, target, progress)
            tell_target(out, "written", as_json)
            return
        opened = library.findings.open(item)
    if as_json:
        tell_json(plain(opened))
        return
    for is_peers, line in finding_lines(opened):
        (tell_text if is_peers else tell)(line)


def _open_file(
    file: Path,
    out: Path | None,
    artifact: str | None,
    identity: Path | None,
    folder: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    if out is None or artifact is not None:
        raise RefusedError("expected a place for what is in the file", hint="name it with --out, and no --artifact")
    target = target_of(out, as_json)
    if identity is not None:
        from darklantern.library.files import open_with
        from darklantern.sealing import Identity

        keep_secrets_in_memory()
        keys = [Identity.parse(line) for line in recipient_lines(identity)]
        with bytes_bar("opening") as progress:
            open_with(source_of(file), target, keys, progress)
    else:
        with open_own(folder, passphrase_file) as library, bytes_bar("opening") as progress:
            library.open_file(source_of(file), target, progress)
    tell_target(out, "opened", as_json)


def _check_id(what: str) -> None:
    if not what or set(what) - set(hexdigits):
        raise RefusedError(
            f"expected a file or the beginning of an item's id, got {what!r}",
            hint="check the path, or copy an id from `darklantern finding list`",
        )

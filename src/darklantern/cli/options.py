"""Options that several commands share, and how a passphrase comes in: never on the command line."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from darklantern.errors import StoreError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a program to read.")]
Folder = Annotated[Path, typer.Argument(help="The library's folder.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="File that holds the passphrase; without it you are asked. Never an argument.")
]


def passphrase(file: Path | None) -> str:
    """The passphrase from `file`, or typed at the terminal. Raises StoreError when there is neither."""
    if file is not None:
        try:
            return file.read_text().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot read the passphrase from {file}", hint="check the path") from error
    if not sys.stdin.isatty():
        raise StoreError("no passphrase, and no terminal to ask at", hint="use --passphrase-file")
    return getpass.getpass("passphrase: ")

"""Options that several commands share, and what comes in by them: a passphrase, a text, a place to write to.

Neither a passphrase nor a text that is to be sealed is ever an argument: every user of the machine can
read those, and the shell keeps them.
"""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer
from rich.console import Console

from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import StoreError
from darklantern.records.posts import LONGEST

if TYPE_CHECKING:
    from darklantern.stores.keystore import Kept

STREAM: Final = Path("-")
"""In place of a file: stdin, or stdout."""
SHORT: Final = 12
"""characters; a person's own choice of fewer is guessed however slow each guess is made"""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a program to read.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", help="File that holds the passphrase; without it you are asked. Never an argument."
    ),
]


def passphrase(file: Path | None) -> str:
    """The passphrase from `file`, or typed at the terminal. Raises StoreError when there is neither."""
    if file is not None:
        typed = text_of(read(file), file).rstrip("\r\n")
        if not typed:
            raise StoreError(f"expected a passphrase in {file}, found none", hint="is it the right file?")
        return typed
    return secret_line("passphrase: ", None, "--passphrase-file")


@contextmanager
def new_passphrase(file: Path | None) -> "Iterator[Kept]":
    """A passphrase that a person chooses: from `file`, or typed twice. Remarks on a short one. Raises StoreError."""
    from darklantern.stores.keystore import Kept

    chosen = passphrase(file)
    if file is None and getpass.getpass("the same again: ") != chosen:
        raise StoreError("the two passphrases differ", hint="type it again; it does not show")
    if len(chosen) < SHORT:
        tell(
            f"that passphrase has {counted(len(chosen), 'character')}: whoever gets this disk can try all of so few. "
            "Five words drawn by dice are out of reach; `darklantern device passphrase` changes it",
            console=Console(stderr=True),
        )
    yield Kept(chosen)


def secret_line(prompt: str, file: Path | None, option: str) -> str:
    """A short secret, from `file` or typed without showing. Raises StoreError where there is neither."""
    if file is not None:
        return text_of(read(file), file).strip()
    if not has_terminal():
        raise StoreError("no secret, and no terminal to ask at", hint=f"use {option}")
    try:
        return getpass.getpass(prompt)
    except EOFError as error:
        raise StoreError("nothing was typed", hint="type it and press Enter; it does not show") from error


def text_to_seal(file: Path | None) -> str:
    """What is to be sealed, from `file` or from stdin. Raises StoreError where there is no text."""
    if file is not None:
        data = read(file)
    elif sys.stdin is None:  # the shell closed it
        data = b""
    else:
        if sys.stdin.isatty():
            tell("Type the text; Ctrl-D on an empty line ends it, Ctrl-C gives it up.", console=Console(stderr=True))
        data = sys.stdin.buffer.read()
    text = text_of(data, file or "stdin").rstrip()
    if not 0 < len(text) <= LONGEST:
        raise StoreError(
            f"expected a text of 1 to {LONGEST:,} characters from {file or 'stdin'}, got {len(text):,}",
            hint="pipe it in, or name a file that holds it with --file",
        )
    return text


def read(path: Path) -> bytes:
    """The bytes of the file `path`. Raises StoreError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", hint="expected a file there: check the path"
        ) from error


def recipient_lines(path: Path) -> list[str]:
    """The recipients in a file, one a line; empty lines and those that begin with # are skipped. Raises StoreError."""
    lines = [line.strip() for line in text_of(read(path), path).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def check_place(path: Path) -> None:
    """Raises StoreError where no file `path` can be written."""
    if path.is_dir():
        raise StoreError(f"expected a name for a new file, got the folder {path}", hint=f"for example {path / 'new'}")
    if not path.parent.is_dir():
        raise StoreError(f"there is no folder {path.parent} to write {path.name} in", hint="make it, or choose another")


def source_of(path: Path) -> Path | BinaryIO:
    """A file to read, or stdin for `-`. Raises StoreError where there is none."""
    if path != STREAM:
        return path
    if sys.stdin is None:  # the shell closed it
        raise StoreError("there is no stdin to read from", hint="pipe the file in, or name it")
    return sys.stdin.buffer


def target_of(path: Path, as_json: bool) -> Path | BinaryIO:
    """A new file, or stdout for `-`. Raises StoreError where nothing can be written there.

    A terminal obeys bytes, and these are a peer's.
    """
    if path != STREAM:
        check_place(path)
        return path
    if as_json:
        raise StoreError("stdout cannot take both the file and --json", hint="name a file with --out")
    if sys.stdout is None or sys.stdout.isatty():
        raise StoreError(
            "expected stdout to be a pipe or a file, got a terminal", hint="pipe it on, or name a file with --out"
        )
    return sys.stdout.buffer


def tell_target(path: Path, done: str, as_json: bool, **more: object) -> None:
    """That the file was written; on stderr where stdout took it."""
    if as_json:
        tell_json({"file": str(path), **more})
    elif path == STREAM:
        tell(f"stdout: {done}", console=Console(stderr=True))
    else:
        tell(f"{path}: {done}")


def text_of(data: bytes, where: Path | str) -> str:
    """`data` as text. Raises StoreError."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise StoreError(f"expected text in UTF-8 in {where}, got other bytes", hint="is it the right file?") from error


def has_terminal() -> bool:
    """Whether there is one to ask at. A text may come by stdin, so that alone says nothing."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return sys.stdin is not None and sys.stdin.isatty()
    return True

"""`darklantern library open-log` and `report`: who opened what here, and who may read what."""

from darklantern.cli.backup_commands import library_app
from darklantern.cli.library_option import LibraryFolder, open_own
from darklantern.cli.options import Json, PassphraseFile
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.records.exact import plain

__all__ = ["library_app"]  # with all its commands on it


@library_app.command()
def open_log(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Print the open-log: what was opened here, and when.

    Its chain of entries is verified first. What is opened again within an hour has no second entry.
    """
    with open_own(folder, passphrase_file) as library:
        log = library.care.opened_log()
    if as_json:
        tell_json(plain(log))
        return
    for entry in log.entries:
        tell(f"{entry.time}  {entry.act}  {entry.item}{f'  {entry.artifact}' if entry.artifact else ''}")
    tell(f"{counted(len(log.entries), 'entry')}; the end is {log.head}")


@library_app.command()
def report(folder: LibraryFolder = None, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Print who may read what, and who said so.

    And what was opened here. For somebody who is cleared for none of it: no title and no text is in it.
    """
    from darklantern.library.report_text import lines

    with open_own(folder, passphrase_file) as library:
        made = library.care.report()
    if as_json:
        tell_json(plain(made))
        return
    for line in lines(made):
        text = line.lstrip(" ")
        tell(text, lead=" " * (len(line) - len(text)))

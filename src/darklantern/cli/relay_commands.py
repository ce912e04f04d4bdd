"""`darklantern relay …`: what the keeper of a relay does."""

from pathlib import Path
from typing import Annotated, Any

import typer

from darklantern.cli.hardening import keep_secrets_in_memory
from darklantern.cli.library_option import say
from darklantern.cli.options import Json, check_place
from darklantern.cli.output import tell, tell_exact, tell_json
from darklantern.counted import counted

relay_app = typer.Typer(
    help="Relays: servers that store and forward what they cannot open.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
mirror_app = typer.Typer(
    help="Other relays, which mirror and cosign this one's logs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
relay_app.add_typer(mirror_app, name="mirror")
RelayFolder = Annotated[Path, typer.Argument(help="The relay's folder: settings, keys, and by default its stores.")]


@relay_app.command()
def init(
    folder: RelayFolder,
    net: Annotated[
        str | None, typer.Option(help="The network: the id of its first roster. For a mirror; else `begin` says it.")
    ] = None,
    listen: Annotated[str, typer.Option(help="IP address to listen on: loopback, or a private one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = 7447,
    database: Annotated[
        str | None, typer.Option(help="postgresql://… or sqlite:///path; a file in the folder by default.")
    ] = None,
    blobs: Annotated[str | None, typer.Option(help="s3://… or file:///path; in the folder by default.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="No TLS: for loopback only, behind an onion service for instance.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a relay: settings, keys, a certificate.

    What it prints is the relay's card, which others add: keep it as a file, for the roster, for members, for peers.
    """
    from darklantern.relay.setting_up import make_relay

    keep_secrets_in_memory()
    _print_card(
        make_relay(folder, net, listen=listen, port=port, database=database, blobs=blobs, tls=not plain_http), as_json
    )


@relay_app.command()
def card(folder: RelayFolder, as_json: Json = False) -> None:
    """Print the relay's card: exact JSON, to be stored as it is. No secret is in it."""
    from darklantern.relay.setting_up import card as card_of

    keep_secrets_in_memory()
    _print_card(card_of(folder), as_json)


@relay_app.command()
def begin(
    folder: RelayFolder,
    records: Annotated[
        list[Path], typer.Argument(help="Drafts that enough have signed, in order: the first roster, manifests.")
    ],
    as_json: Json = False,
) -> None:
    """Begin the network's log: nobody can log in before it names them.

    It takes signed envelopes as files, too.
    """
    from darklantern.relay.setting_up import begin as begin_log

    keep_secrets_in_memory()
    count = begin_log(folder, [_envelope(path) for path in records])
    if as_json:
        tell_json({"appended": count})
    else:
        tell(f"the network's log has {counted(count, 'record')} now")


@relay_app.command()
def serve(folder: RelayFolder) -> None:
    """Serve until SIGTERM or Ctrl-C. It logs JSON lines to stderr."""
    from darklantern.cli.relay_worker import load
    from darklantern.relay.serving import serve as run

    keep_secrets_in_memory()
    run(folder, load)


@relay_app.command()
def status(folder: RelayFolder, as_json: Json = False) -> None:
    """Say what the relay holds, and what each org uses.

    Of each log the size and the newest checkpoint.
    """
    from darklantern.relay.reporting import report

    found = report(folder)
    if as_json:
        tell_json(found)
        return
    tell(f"network {found['net'][:16]}…, relay {found['relay'][:16]}…")
    for log in found["logs"]:
        witnesses = f"{log['witnesses']} cosignatures" if log["witnesses"] else "no cosignature"
        tell(f"log {log['log'][:16]}…  {counted(log['size'], 'entry')}, signed at {log['time']}, {witnesses}")
    for org in found["orgs"]:
        tell(f"{org['org']}: {org['used']:,} of {org['limit']:,} bytes")


@relay_app.command()
def backup(
    folder: RelayFolder,
    file: Annotated[Path, typer.Argument(help="A new file for the copy of the database.")],
    as_json: Json = False,
) -> None:
    """Copy the database while the relay serves. Copy the blobs' folder after it, with any tool, and the keys once.

    PostgreSQL is copied by its own pg_dump. A relay that is restored takes what is newer from its peers.
    """
    from darklantern.relay.config import read_config
    from darklantern.relay.stores import open_database

    check_place(file)
    database = open_database(read_config(folder).database)
    try:
        database.backup(file)
    finally:
        database.close()
    if as_json:
        tell_json({"backup": str(file), "bytes": file.stat().st_size})
    else:
        tell(f"{file}: {file.stat().st_size:,} bytes")


@mirror_app.command("add")
def add_mirror(
    folder: RelayFolder,
    card: Annotated[Path, typer.Argument(help="A file with what `darklantern relay card` printed there.")],
    name: Annotated[str, typer.Option(help="What to call it here.")],
    only_reads: Annotated[
        bool, typer.Option("--only-reads", help="Let it read here, and do not ask it for what is new.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Name another relay: it may read and mirror all logs here, and this one mirrors and cosigns its logs.

    Its keeper does the same with this relay's card. Relays that the roster names know each other without this.
    """
    from darklantern.cli.options import read
    from darklantern.relay.mirror_settings import add_mirror as add

    added = add(folder, name, read(card), pull=not only_reads)
    if as_json:
        tell_json({"name": name, "relay": added.public.id, "urls": list(added.urls)})
    else:
        tell(f"{name}: {', '.join(added.urls)}. Restart the relay; and give that one's keeper this relay's card")


@mirror_app.command("remove")
def remove_mirror(
    folder: RelayFolder,
    name: Annotated[str, typer.Argument(help="What it is called here; `relay mirror list` says it.")],
    as_json: Json = False,
) -> None:
    """Take another relay out of the settings: it may read no more, and is not asked. What it brought stays."""
    from darklantern.relay.mirror_settings import remove_mirror as remove

    remove(folder, name)
    if as_json:
        tell_json({"removed": name})
    else:
        tell(f"{name} is out of the settings. Restart the relay")


@mirror_app.command("list")
def list_mirrors(folder: RelayFolder, as_json: Json = False) -> None:
    """List the other relays that this one knows, by its settings or by the network's roster."""
    from darklantern.relay.mirror_settings import mirrors

    found = mirrors(folder)
    if as_json:
        tell_json(
            [
                {
                    "name": each.name,
                    "relay": each.card.public.id,
                    "urls": list(each.card.urls),
                    "asked": each.pull,
                    "by": "roster" if each.by_roster else "settings",
                }
                for each in found
            ]
        )
        return
    for each in found:
        asked = "" if each.pull else ", only reads here"
        source = "the roster" if each.by_roster else "the settings"
        tell(f"{each.name}: {', '.join(each.card.urls)}, relay {each.card.public.id[:16]}…, by {source}{asked}")
    if not found:
        tell("no other relay is known: `darklantern relay mirror add` names one")


def _envelope(path: Path) -> bytes:
    """The signed record in a file: a draft's, or the file itself."""
    from darklantern.cli.library_option import either
    from darklantern.network.drafts import Draft
    from darklantern.records.exact import encode
    from darklantern.sealing import Envelope

    found = either(path, Draft, Envelope)
    return encode(found.envelope if isinstance(found, Draft) else found)


def _print_card(card: Any, as_json: bool) -> None:
    from darklantern.records.exact import encode

    text = encode(card).decode()
    if as_json:
        tell_exact(text)
        return
    tell(text, copied=True)
    say("this is the relay's card, which others add: `darklantern org found --relay ORG/NAME=FILE` into the roster,")
    say("`darklantern sync --relay FILE` in a library. They compare its fingerprint with you, aloud:")
    say(card.public.fingerprint)

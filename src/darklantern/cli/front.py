"""The front of the command line: its sections, and an answer to those who guess a command by another name.

In: words that somebody typed. Out: the command, or the name of the one that does it. No command has two names: a guess
is answered, not obeyed.
"""

from collections.abc import Iterator
from typing import Any, Final

from typer.core import TyperGroup

SECTIONS: Final[dict[str | None, dict[str, tuple[str, ...]]]] = {
    None: {
        "Findings": ("share", "open", "finding", "assess", "panel", "forecast", "search", "thread", "rerun", "explain"),
        "Reaching the others": ("sync", "status", "bundle", "relay"),
        "Keys, people, circles": ("device", "org", "member", "pledge", "circle", "draft"),
        "This device": ("library", "log", "page", "seal", "version"),
        "Looking inside": ("demo", "watch", "box"),
    },
    "relay": {
        "The relays that a library syncs with": ("add", "list", "remove"),
        "A relay of your own": ("init", "card", "begin", "serve", "status", "mirror", "backup"),
    },
}
"""Group (None: the front page) → what its commands are for, in the order in which its help shows them."""

GUESSES: Final = {
    # what git, age and others call it
    "decrypt": "open", "show": "open", "encrypt": "seal", "keygen": "device new", "init": "device new",
    "clone": "device join", "join": "device join", "login": "device new", "whoami": "device show",
    "push": "sync", "pull": "sync", "fetch": "sync", "remote": "relay list",
    "export": "bundle export", "import": "bundle import", "ls": "finding list", "list": "finding list",
    "findings": "finding list", "grep": "search", "find": "search", "post": "thread post", "reply": "thread reply",
    "comment": "thread post", "notifications": "thread notifications", "invite": "member invite",
    "members": "member list", "people": "member list", "network": "org found", "roster": "org show",
    "sign": "draft sign", "publish": "draft publish", "verify": "library verify", "check": "library verify",
    "fsck": "library verify", "gc": "library compact", "compact": "library compact", "backup": "library backup",
    "restore": "library restore", "delete": "library bury", "rm": "library bury", "bury": "library bury",
    "measure": "assess run", "judge": "finding assess", "level": "finding assess", "new": "finding new",
    "artifacts": "finding artifacts", "artifact": "finding artifacts",
    "audit": "library report", "report": "library report", "passphrase": "device passphrase",
    # under a group
    "finding show": "open", "finding open": "open", "finding share": "share", "finding draft": "finding new",
    "finding create": "finding new", "finding write": "finding new", "finding template": "finding new",
    "finding files": "finding artifacts",
    "finding level": "finding assess", "finding judge": "finding assess", "finding check": "finding assess",
    "assess level": "finding assess", "assess show": "finding assess", "assess measure": "assess run",
    "finding search": "search", "finding delete": "library bury", "finding export": "finding export-age",
    "thread new": "thread begin", "thread create": "thread begin", "thread open": "thread show",
    "thread edit": "thread revise", "thread delete": "thread retract", "thread mute": "thread quiet",
    "bundle create": "bundle export", "bundle write": "bundle export", "bundle open": "bundle import",
    "bundle read": "bundle import", "bundle check": "bundle verify",
    "device create": "device new", "device init": "device new", "device list": "member list",
    "device add": "member add", "device remove": "device revoke", "device fingerprint": "device show",
    "org new": "org found", "org create": "org found", "org init": "org found", "org list": "org show",
    "org add": "org change", "org admit": "org change", "org remove": "org change", "org expel": "org change",
    "member new": "member add", "member show": "member list", "member revoke": "device revoke",
    "pledge new": "pledge propose", "pledge add": "pledge propose", "pledge create": "pledge propose",
    "pledge renew": "pledge sign", "pledge remove": "pledge withdraw", "pledge revoke": "pledge withdraw",
    "circle new": "circle found", "circle create": "circle found", "circle init": "circle found",
    "circle members": "circle show", "circle invite": "circle add", "circle index": "library index",
    "draft read": "draft show", "relay new": "relay init", "relay create": "relay init", "relay start": "relay serve",
    "relay run": "relay serve", "relay forget": "relay remove", "relay rm": "relay remove",
    "library new": "device new", "library create": "device new", "library init": "device new",
    "library list": "finding list", "library findings": "finding list", "library check": "library verify",
    "library fsck": "library verify", "library gc": "library compact", "library delete": "library bury",
    "library rm": "library bury", "library status": "status", "library passphrase": "device passphrase",
    "library opened": "library open-log", "library audit": "library report", "library search": "search",
    "log verify": "library verify", "log cat": "log show",
    "watch list": "watch status", "watch ls": "watch status", "watch show": "watch status", "watch ps": "watch status",
    "watch kill": "watch stop", "watch end": "watch stop", "watch approve": "watch go-on",
    "watch resume": "watch go-on", "watch continue": "watch go-on", "watch rollback": "watch roll-back",
}  # fmt: skip
"""What people type → the command that does it."""


class Front(TyperGroup):
    """A group that shows its commands by what they are for, and answers a guess with the command's name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command, or a usage error that names the right one."""
        group = _group(ctx)
        meant = GUESSES.get(" ".join((*([group] if group else ()), *args[:1])))
        if meant and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}. `darklantern {meant}` does that.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A section for each purpose."""
        if _group(ctx) not in SECTIONS:
            super().format_commands(ctx, formatter)
            return
        width = max(map(len, self.commands))
        for title, rows in self._sections(ctx, formatter.width - 6 - width):
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), said) for name, said in rows])

    def _sections(self, ctx: Any, limit: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        sections = SECTIONS[_group(ctx)]
        others = tuple(sorted(self.commands.keys() - {name for names in sections.values() for name in names}))
        for title, names in (*sections.items(), ("Other", others)):
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, each.get_short_help_str(limit)) for name, each in found if each and not each.hidden]
            if rows:
                yield title, rows


def _group(ctx: Any) -> str | None:
    return ctx.info_name if ctx.parent else None

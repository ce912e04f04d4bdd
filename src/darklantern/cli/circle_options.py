"""Options by which a circle's rules are said, the same where it is founded and where it is changed."""

from typing import Annotated, Literal

import typer

Orgs = Annotated[list[str] | None, typer.Option("--org", metavar="ORG", help="Org all of whose people may be members.")]
People = Annotated[
    list[str] | None, typer.Option("--person", metavar="ORG/PERSON", help="ORG/PERSON who may be a member.")
]
Compared = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Device of such a person that the admins have compared: at V3 and V4 the first must be.",
    ),
]
Pledges = Annotated[
    list[str] | None, typer.Option("--pledge", metavar="NAME", help="Pledge that each member must have signed.")
]
Admins = Annotated[
    list[str] | None,
    typer.Option("--admin", metavar="ORG/PERSON", help="ORG/PERSON who signs for the circle; two at least."),
]
Quorum = Annotated[int | None, typer.Option(min=1, help="How many admins sign each version; by default a majority.")]
History = Annotated[
    Literal["all", "since-join", "none"] | None, typer.Option(help="What a newcomer may read of the past.")
]
Freshness = Annotated[str | None, typer.Option(help="After how long a view is stale and sealing stops: 7d, 12h.")]
Witnesses = Annotated[
    int | None, typer.Option(min=0, help="How many other orgs' relays must have cosigned what it rests on.")
]
Rotation = Annotated[str | None, typer.Option(help="After how long an epoch is too old to seal to; at V3, V4 30d.")]
Retention = Annotated[str | None, typer.Option(help="How long after an epoch's end its seeds are destroyed.")]

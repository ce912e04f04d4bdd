"""Who else saw a log's newest checkpoint: other orgs' relays, by the keys that the roster names.

In: a view. Out: a time. A log that shows two histories must hide one of them from every witness.
"""

from darklantern.logs.witness import agreed, cosigned
from darklantern.network.view import View
from darklantern.sealing.witness_keys import WitnessVerifyKey


def witness_keys(view: View) -> dict[str, WitnessVerifyKey]:
    """The name and the key of each relay of the roster, as a witness."""
    roster = view.network.roster
    relays = roster.relays if roster else ()
    return {relay.card.public.witness_name: relay.card.public.witness for relay in relays}


def witnessed(view: View, log: str, needed: int) -> int | None:
    """When `needed` orgs besides that of the log's keeper had all cosigned the head that is held; None: they have not.

    For none needed, the time at which the log itself signed.
    """
    head, roster, keeper = view.heads.get(log), view.network.roster, view.log_key(log)
    if head is None or roster is None:
        return None
    if needed == 0:
        return head.time
    own = {relay.org for relay in roster.relays if relay.card.public.log == keeper}
    if not own:
        return None  # whose log it is cannot be told, so any of them may be its own witness
    others = [relay for relay in roster.relays if relay.org not in own]
    keys = {relay.card.public.witness_name: relay.card.public.witness for relay in others}
    orgs = {relay.card.public.witness_name: relay.org for relay in others}
    return agreed(cosigned(head.note, keys), orgs, needed)

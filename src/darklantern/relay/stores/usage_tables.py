"""Quotas in a relay's database: what is counted against whom."""

from collections.abc import Iterable
from typing import Final

from darklantern.errors import RefusedError
from darklantern.relay.stores.engine import Session, Tables
from darklantern.relay.stores.values import Charge, check_name

_AT_ONCE: Final = 500


class QuotaError(RefusedError):
    """Accounts that are full. It says the first of them."""

    def __init__(self, *full: Charge) -> None:
        first = full[0]
        super().__init__(
            f"{first.amount} more would pass the quota of {first.account}, which is {first.limit}",
            hint="delete what is no longer needed, or ask the relay's keeper for more",
        )
        self._full = full

    def among(self, accounts: Iterable[str]) -> "QuotaError | None":
        """What is to be said to whose accounts these are: nothing of others'."""
        mine = [charge for charge in self._full if charge.account in set(accounts)]
        return QuotaError(*mine) if mine else None


class UsageTables(Tables):
    """What orgs and devices have used."""

    def charge(self, *charges: Charge) -> None:
        """Count all of them, or none. Raises QuotaError with the accounts that are full."""
        with self._engine.transaction(write=True) as session:
            put_charges(session, charges)

    def used(self, account: str, period: int = 0) -> int:
        """What is counted against the account."""
        check_name(account)
        with self._engine.transaction(write=False) as session:
            rows = session.rows("SELECT used FROM usage WHERE account = ? AND period = ?", account, period)
        return int(rows[0][0]) if rows else 0

    def forget_usage(self, before_period: int) -> int:
        """Delete what was counted in periods that are over; how many rows. Period 0 stays."""
        with self._engine.transaction(write=True) as session:
            return session.change("DELETE FROM usage WHERE period > 0 AND period < ?", before_period)


def put_charges(session: Session, charges: Iterable[Charge]) -> None:
    """Count all of them. Raises QuotaError with all accounts that are full.

    Two statements however many there are. The rows stay locked, so what is read back is what was added up.
    """
    by_key: dict[tuple[str, int], Charge] = {}
    for charge in charges:
        known = by_key.get((charge.account, charge.period))
        amount = charge.amount + (known.amount if known else 0)
        by_key[charge.account, charge.period] = Charge(charge.account, amount, charge.limit, charge.period)
    # In one order everywhere: two relays that lock accounts crosswise would wait for each other.
    merged = [by_key[key] for key in sorted(by_key)]
    session.insert(
        "usage",
        {"account": "text", "period": "integer", "used": "integer"},
        [(charge.account, charge.period, charge.amount) for charge in merged],
        "ON CONFLICT (account, period) DO UPDATE SET used = usage.used + excluded.used",
    )
    accounts = sorted({charge.account for charge in merged})
    used: dict[tuple[str, int], int] = {}
    for at in range(0, len(accounts), _AT_ONCE):
        some = accounts[at : at + _AT_ONCE]
        marks = ",".join("?" * len(some))
        for account, period, now in session.rows(
            f"SELECT account, period, used FROM usage WHERE account IN ({marks})", *some
        ):
            used[account, period] = now
    if full := [charge for charge in merged if used[charge.account, charge.period] > charge.limit]:
        raise QuotaError(*full)


def put_refund(session: Session, account: str, amount: int) -> None:
    """Take back what was charged for ever, as when a blob was dropped. Never below 0."""
    session.change(
        "UPDATE usage SET used = CASE WHEN used > ? THEN used - ? ELSE 0 END WHERE account = ? AND period = 0",
        *(amount, amount, account),
    )

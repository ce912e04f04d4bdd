"""The objects of SSVC's JSON schema 2.0.0, as far as we write and read them. Unknown fields are refused."""

from typing import Final, Literal

import msgspec

from darklantern.records.exact import Sha256

NAMESPACE: Final = "x_example.darklantern#level"
"""a private one: SSVC asks for a reversed domain, the project has none, and `example` is nobody's (RFC 2606)"""
SCHEMA: Final = "2.0.0"


class DecisionValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of a decision point."""

    key: str
    name: str
    definition: str


class DecisionPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An ordered set of values."""

    namespace: str
    key: str
    version: str
    name: str
    definition: str
    values: tuple[DecisionValue, ...]
    schemaVersion: Literal["2.0.0"] = SCHEMA

    @property
    def id(self) -> str:
        return f"{self.namespace}:{self.key}:{self.version}"


class DecisionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every combination of the inputs, with the outcome among its columns."""

    namespace: str
    key: str
    version: str
    name: str
    definition: str
    decision_points: dict[str, DecisionPoint]
    outcome: str
    mapping: tuple[dict[str, str], ...]
    schemaVersion: Literal["2.0.0"] = SCHEMA


class SelectedValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value that is not excluded."""

    key: str
    name: str | None = None
    definition: str | None = None


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one decision point may be."""

    namespace: str
    key: str
    version: str
    values: tuple[SelectedValue, ...]
    name: str | None = None
    definition: str | None = None


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where something is written up."""

    uri: str
    summary: str = ""


class SelectionList(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An evaluation at one time. SSVC has no place in it for who made it, nor how."""

    timestamp: str
    selections: tuple[Selection, ...]
    target_ids: tuple[str, ...] = ()
    decision_point_resources: tuple[Reference, ...] = ()
    references: tuple[Reference, ...] = ()
    schemaVersion: str = ""


def target(finding: Sha256) -> str:
    """A finding as a target of a selection list."""
    return f"sha256:{finding}"

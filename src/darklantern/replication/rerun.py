"""Look up, check, run, compare."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from darklantern.errors import RecipeError
from darklantern.records.findings import Evidence
from darklantern.replication.table import TABLE


@dataclass(frozen=True)
class Compared:
    """One figure, as claimed and as found again."""

    name: str
    claimed: float
    found: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return abs(self.claimed - self.found) <= self.tolerance


@dataclass(frozen=True)
class Replication:
    """What came of running a piece of evidence again."""

    function: str
    figures: tuple[Compared, ...]

    @property
    def holds(self) -> bool:
        """Every figure came within its tolerance."""
        return all(figure.holds for figure in self.figures)

    def __str__(self) -> str:
        lines = [
            f"{'holds' if f.holds else 'DIFFERS'}  {f.name}: claimed {f.claimed:.4g}, found {f.found:.4g}"
            for f in self.figures
        ]
        return "\n".join([f"{self.function} run again:", *lines])


def rerun(evidence: Evidence, artifacts: Mapping[str, bytes]) -> Replication:
    """Run `evidence`'s recipe again on `artifacts` (hash → bytes) and compare each figure.

    Raises RecipeError for evidence without a recipe or figures, a name or version that is not in the
    table, a tolerance wider than the table allows, a missing artifact, one whose bytes have another
    hash, or arguments that the function refuses.
    """
    recipe = evidence.recipe
    if recipe is None:
        raise RecipeError(f"{evidence.method!r} carries no recipe", hint="only evidence with a recipe can be run again")
    entry = TABLE.get((recipe.function, recipe.version))
    if entry is None:
        known = ", ".join(f"{name} v{version}" for name, version in sorted(TABLE))
        raise RecipeError(
            f"recipe {recipe.function!r} v{recipe.version} is not in the local table",
            hint=f"this version knows: {known}; a newer darklantern may know more",
        )
    if not evidence.figures:
        raise RecipeError(
            f"{evidence.method!r} claims no figure, so running it again compares nothing",
            hint="ask its author for the figures",
        )
    for figure in evidence.figures:
        if not 0 <= figure.tolerance <= entry.tolerance:
            raise RecipeError(
                f"figure {figure.name!r} would hold within {figure.tolerance:g}; "
                f"for {recipe.function!r} the most is {entry.tolerance:g}",
                hint="ask its author for figures with a tolerance that a difference can exceed",
            )
    held: dict[str, bytes] = {}
    for role, expected in recipe.artifacts.items():
        data = artifacts.get(expected)
        if data is None:
            raise RecipeError(
                f"artifact {role!r} ({expected[:12]}…) is not here", hint="fetch the artifact, then retry"
            )
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise RecipeError(
                f"artifact {role!r} should have hash {expected[:12]}…, its bytes have {found[:12]}…",
                hint="the copy is damaged or another file; fetch it again",
            )
        held[role] = data
    figures = entry.run(recipe.arguments, held)
    compared = []
    for figure in evidence.figures:
        if figure.name not in figures:
            raise RecipeError(
                f"the recipe does not yield the claimed figure {figure.name!r}",
                hint="the evidence was altered or made by another version",
            )
        compared.append(Compared(figure.name, figure.value, figures[figure.name], figure.tolerance))
    return Replication(recipe.function, tuple(compared))

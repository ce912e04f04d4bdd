"""What each piece of evidence was made from, and the command that makes it again."""

import json

from darklantern.drawing.scales import number
from darklantern.page.layout import code, facts, table
from darklantern.page.markup import Html, spaced, tag
from darklantern.page.prose import bdi, prose
from darklantern.records.findings import Evidence, Figure

MOST_ROWS = 100
"""rows of a table"""


def made_from(number_: int, evidence: Evidence, command: str, same_as: int) -> Html:
    """Provenance, artifacts and recipe: what it takes to make this evidence again.

    `same_as` is the number of the first evidence of this finding that was made from the same.
    """
    recipe = evidence.recipe
    source = _source(evidence) if same_as == number_ else [("Made from", f"the same as evidence {same_as}")]
    function = bdi(f"{recipe.function} version {recipe.version}") if recipe else "none: it cannot be run again"
    parts = [
        tag("h3", spaced(tag("span", f"Evidence {number_}", class_="over"), tag("span", evidence.method, dir="auto"))),
        facts([*source, ("Recipe", function)], class_="facts wide"),
    ]
    parts += [_artifacts(evidence)] if evidence.artifacts else []
    if recipe is not None:
        parts += [_figures(evidence)] if evidence.figures else []
        given = [
            (bdi(name), prose(json.dumps(value, ensure_ascii=False), class_="json"))
            for name, value in sorted(recipe.arguments.items())
        ]
        given += [(bdi(role), code(sha256)) for role, sha256 in sorted(recipe.artifacts.items())]
        details = [tag("summary", "Arguments and artifacts of the recipe"), facts(given, class_="facts wide")]
        parts += [
            tag("details", *details, class_="fold"),
            tag("p", "Run it again and compare every figure:", class_="before"),
            tag("pre", tag("code", command), class_="command"),
        ]
    return tag("article", *parts, class_="made")


def _source(evidence: Evidence) -> list[tuple[str, str]]:
    made = evidence.provenance
    versions = ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items()))
    return [
        ("Model", code(made.model)),
        ("Data", code(made.data)),
        ("Seed", str(made.seed)),
        ("Dark Lantern", bdi(made.code)),
        ("Versions", bdi(versions) if versions else ""),
        ("Machine", bdi(made.machine) if made.machine else ""),
    ]


def _artifacts(evidence: Evidence) -> Html:
    rows = [
        (bdi(each.name), tag("span", f"{each.size:,}", class_="tight"), code(each.sha256))
        for each in evidence.artifacts
    ]
    return table("Artifacts", ("Name", "Bytes", "SHA-256"), rows[:MOST_ROWS], class_="stack")


def _figures(evidence: Evidence) -> Html:
    rows = [(bdi(each.name), number(each.value, 4), each.unit or "–", _tolerance(each)) for each in evidence.figures]
    heads = ("Name", "Value", "Unit", "Tolerance")
    return table(
        "Figures that a re-run must reproduce",
        heads,
        rows[:MOST_ROWS],
        class_="numbers stack",
    )


def _tolerance(each: Figure) -> str:
    return f"±{number(each.tolerance)}" if each.tolerance else "exactly"

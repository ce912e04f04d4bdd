"""docs/spec/assessment.md says what the table says."""

from pathlib import Path

import pytest

from darklantern.assess import decide, explain

from .answers import TABLE, from_values, most_open

PAGE = (Path(__file__).parents[2] / "docs/spec/assessment.md").read_text()


@pytest.mark.parametrize("criterion", TABLE.source.criteria, ids=lambda criterion: criterion.code)
def test_the_page_has_every_criterion(criterion) -> None:
    row = f"| {criterion.code} | {criterion.name} | {', '.join(criterion.values)} | {', '.join(criterion.kinds)} |"
    assert row in PAGE


@pytest.mark.parametrize("floor", TABLE.source.floors, ids=lambda floor: floor.id)
def test_the_page_has_every_floor(floor) -> None:
    condition = ", ".join(f"{code} {value}" for code, value in floor.at_least.items())
    assert f"| {floor.id} | {condition} | {floor.level} |" in PAGE


def test_the_page_has_the_base_and_the_rows_of_each_sub_table() -> None:
    for hazard in TABLE.scales["HAZ"]:
        levels = [TABLE.cells["BASE"][hazard, advantage] for advantage in TABLE.scales["ADV"]]
        assert f"| {hazard} | {' | '.join(levels)} |" in PAGE
    for sub in TABLE.source.tables[:3]:
        assert f"{sub.code} ({', '.join(sub.inputs)}), {len(sub.rows)} rows: {', '.join(sub.outcomes)}." in PAGE


def test_the_page_has_the_days_and_the_weaknesses_in_numbers(levels) -> None:
    days = TABLE.source.review_days
    assert f"V1 after {days['V1']} days, V2 after {days['V2']}, V3 after {days['V3']}, V4 after {days['V4']}" in PAGE
    assert f"{(levels == 0).mean():.1%} of all assignments are Open".replace("%", " %") in PAGE
    assert f"{(levels == 4).mean():.0%} are Private".replace("%", " %") in PAGE
    widths = {c: (levels.max(i) - levels.min(i)).mean() for i, c in enumerate(TABLE.criteria)}
    assert f"by {widths['U']:.2f} on average (" in PAGE
    assert f"({', '.join(f'{code} {widths[code]:.2f}' for code in 'GAWO')})" in PAGE


def test_the_example_on_the_page_is_what_the_code_says() -> None:
    known = most_open(F="broken", K="far_below", A="mixed")
    del known["U"]
    lines = explain(decide(from_values(**known), TABLE), TABLE).lines()
    assert "```\n" + "\n".join(lines) + "\n```" in PAGE

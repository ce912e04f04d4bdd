"""Answers for tests: short to write, and random ones for Hypothesis."""

from hypothesis import strategies as st

from darklantern.assess import load
from darklantern.records.assessments import Answer

TABLE = load()


def answer(criterion, *values, kind=None, **rest) -> Answer:
    """An answer of the first kind that is not a measurement, unless `kind` says otherwise."""
    kinds = TABLE.criteria[criterion].kinds
    kind = kind or next(k for k in kinds if k != "measured")
    return Answer(criterion=criterion, values=values, kind=kind, **{"rater": "r", "protocol": "rubric/1", **rest})


def measured(criterion, *values, **rest) -> Answer:
    return answer(criterion, *values, kind="measured", **rest)


def from_values(**values) -> list[Answer]:
    """One certain answer for each criterion that is named: `from_values(U="direct")`."""
    return [answer(code, value) for code, value in values.items()]


def most_open(**but) -> dict[str, str]:
    return {code: criterion.values[0] for code, criterion in TABLE.criteria.items()} | but


@st.composite
def one_answer(draw, code=None) -> Answer:
    criterion = TABLE.criteria[code or draw(st.sampled_from(sorted(TABLE.criteria)))]
    values = draw(st.lists(st.sampled_from(criterion.values), min_size=1, unique=True))
    status = draw(st.sampled_from(["answered", "answered", "answered", "unknown", "error"]))
    return answer(criterion.code, *values, kind=draw(st.sampled_from(criterion.kinds)), status=status)


def many_answers(most=20) -> st.SearchStrategy[list[Answer]]:
    return st.lists(one_answer(), max_size=most)

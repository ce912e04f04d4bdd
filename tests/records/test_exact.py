"""Exact bytes: one value, one byte string, everything else refused."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darklantern.errors import RecordError
from darklantern.records import Evidence, Figure, Finding, Provenance, Recipe, decode, encode
from darklantern.records.exact import Time

PROVENANCE = Provenance(model="a" * 64, data="b" * 64, seed=1, code="0.1.0", versions={"torch": "2", "python": "3"})
FINDING = Finding(
    title="t",
    claim="c",
    author="a",
    time="2026-01-01T00:00:00Z",
    evidence=(
        Evidence(
            method="m",
            summary="s",
            provenance=PROVENANCE,
            figures=(Figure(name="f", value=0.1, tolerance=0.01),),
            recipe=Recipe(function="x.y", version=1, arguments={"b": [1, {"a": None}], "a": 2.5}, artifacts={}),
        ),
    ),
)

texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.builds(Figure, name=st.text(min_size=1, max_size=20), value=numbers, unit=texts))
def test_a_value_comes_back_from_its_bytes_and_the_bytes_from_the_value(figure: Figure) -> None:
    data = encode(figure)
    assert decode(Figure, data) == figure
    assert encode(decode(Figure, data)) == data


def test_maps_are_written_in_one_order() -> None:
    other = Provenance(model="a" * 64, data="b" * 64, seed=1, code="0.1.0", versions={"python": "3", "torch": "2"})
    assert encode(PROVENANCE) == encode(other)


def variants() -> dict[str, bytes]:
    data = encode(FINDING)
    plain = json.loads(data)
    return {
        "unknown field": data[:-1] + b',"secret":1}',
        "unknown field inside": data.replace(b'"seed":1', b'"seed":1,"sead":2'),
        "duplicate key": data.replace(b'"title":"t"', b'"title":"t","title":"t"'),
        "white space": data.replace(b'"title":"t"', b'"title": "t"'),
        "trailing newline": data + b"\n",
        "other order": json.dumps(dict(reversed(plain.items())), separators=(",", ":")).encode(),
        "escaped letter": data.replace(b'"title":"t"', b'"title":"\\u0074"'),
        "other spelling of a number": data.replace(b'"value":0.1', b'"value":1e-1'),
        "other version": data.replace(b'{"v":1', b'{"v":2'),
        "missing field": data.replace(b'"claim":"c",', b""),
        "wrong type": data.replace(b'"seed":1', b'"seed":"1"'),
        "short hash": data.replace(b"a" * 64, b"a" * 63),
        "upper-case hash": data.replace(b"a" * 64, b"A" * 64),
        "hash with a newline": data.replace(b"a" * 64, b"a" * 64 + b"\\n"),
        "not UTF-8": data.replace(b'"title":"t"', b'"title":"\xff"'),
        "two values": data + data,
        "nested without end": data.replace(b'"a":2.5', b'"a":' + b"[" * 200_000 + b"]" * 200_000),
        "empty": b"",
    }


@pytest.mark.parametrize("what", variants())
def test_bytes_that_are_not_exact_are_refused_with_a_hint(what: str) -> None:
    bad = variants()[what]
    assert bad != encode(FINDING)
    with pytest.raises(RecordError) as refused:
        decode(Finding, bad)
    assert refused.value.hint


def test_every_truncation_is_refused() -> None:
    data = encode(FINDING)
    for length in range(len(data)):
        with pytest.raises(RecordError):
            decode(Finding, data[:length])


def test_an_unknown_field_is_named_in_the_hint() -> None:
    with pytest.raises(RecordError) as refused:
        decode(Finding, variants()["unknown field"])
    assert "'secret'" in refused.value.hint


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "text", 1, object()])
def test_a_value_that_would_not_decode_to_itself_is_not_written(value: object) -> None:
    with pytest.raises(RecordError):
        encode(Figure(name="f", value=value))  # type: ignore[arg-type]


@given(
    st.one_of(
        st.datetimes().map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")),
        st.tuples(*(st.integers(0, most) for most in (9999, 13, 32, 25, 61, 61))).map(
            lambda parts: "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*parts)
        ),
        st.sampled_from(["2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z"]),
    )
)
def test_a_time_is_one_that_exists(said: str) -> None:
    try:
        datetime.strptime(said, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        with pytest.raises(RecordError):
            decode(Time, json.dumps(said).encode())
    else:
        assert decode(Time, json.dumps(said).encode()) == said


@pytest.mark.parametrize(
    "said", ["\u0662026-01-01T00:00:00Z", "2026-01-01T00:00:0\uff10Z", "2026-01-01T00:00:00Z\n", "2026-1-1T00:00:00Z"]
)
def test_a_time_in_other_digits_is_none(said: str) -> None:
    with pytest.raises(RecordError):
        decode(Time, json.dumps(said, ensure_ascii=False).encode())

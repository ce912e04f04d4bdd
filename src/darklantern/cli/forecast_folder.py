"""A folder of forecasts and follow-ups: one record a file, in its exact bytes; and what it comes to, in words."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast, get_args

from darklantern.cli.handing_out import hand_out_new
from darklantern.cli.options import read
from darklantern.cli.output import tell, tell_json
from darklantern.counted import counted
from darklantern.errors import AssessmentError, RecordError, StoreError
from darklantern.records.exact import decode, encode, plain
from darklantern.records.forecasts import EVENTS, HORIZONS, FollowUp, Forecast, Outcome

_LEAST = 2
"""resolved forecasts, below which there is nothing to score"""


def state_one(
    folder: Path,
    form: Path,
    question: tuple[str, int],
    probability: float,
    who: tuple[str, str],
    on: str | None,
    as_json: bool,
) -> None:
    """Write a forecast into the folder. Raises DarkLanternError."""
    from darklantern.cli.finding_form import prepared
    from darklantern.cli.kinds import FORM, expecting

    event, months = _question(question)
    with expecting(form, FORM):
        made = prepared(form).assessment
    rater, because = who
    forecast = Forecast(
        finding=made.finding,
        rater=rater,
        event=event,
        months=months,
        probability=probability,
        stated=_day(on).isoformat(),
        level=made.operate,
        rubric=made.table,
        because=because,
    )
    file = _write(folder, forecast)
    if as_json:
        tell_json({"file": str(file), **plain(forecast)})
        return
    tell(f"{file}: {event} within {months} months, {probability:g}, finding {made.finding[:12]} at {made.operate}")
    tell(EVENTS[event], lead="  ")


def answer_one(
    folder: Path,
    finding: str,
    question: tuple[str, int],
    outcome: str,
    who: tuple[str, str],
    on: str | None,
    as_json: bool,
) -> None:
    """Write a follow-up into the folder. Raises DarkLanternError."""
    event, months = _question(question)
    forecasts, _ = opened(folder)
    asked = {each.finding for each in forecasts if (each.event, each.months) == (event, months)}
    found = sorted(each for each in asked if each.startswith(finding.lower()))
    if len(found) != 1 or len(finding) < 4:
        raise AssessmentError(
            f"expected one finding of which {event} within {months} months was forecast, got {len(found)} that begin "
            f"with {finding!r}",
            hint="`darklantern forecast due` lists them",
        )
    if outcome not in get_args(Outcome):
        raise AssessmentError(
            f"expected yes, no or unknown, got {outcome!r}", hint="unknown where nobody could find out"
        )
    by, text = who
    made = FollowUp(
        finding=found[0],
        event=event,
        months=months,
        outcome=cast(Outcome, outcome),
        looked=_day(on).isoformat(),
        by=by,
        text=text,
    )
    file = _write(folder, made)
    if as_json:
        tell_json({"file": str(file), **plain(made)})
        return
    tell(f"{file}: {event} within {months} months, {outcome}")


def tell_due(folder: Path, on: str | None, as_json: bool) -> None:
    """Every question, the longest due first."""
    from darklantern.assess.tracking import asked

    found = asked(*opened(folder), _day(on))
    if as_json:
        tell_json([{**_plain(each), "on": each.on.isoformat()} for each in found])
        return
    for each in found:
        when = f"{each.days} days overdue" if each.state == "due" else f"on {each.on}"
        said = f"{each.event} within {each.months} months: {each.state}, {when}, {counted(each.forecasts, 'forecast')}"
        tell(f"{each.finding[:12]} {said}")
    if not found:
        tell("nothing was asked")


def tell_record(
    folder: Path, base_rates: Sequence[str], levels: Sequence[str], picture: Path | None, as_json: bool
) -> None:
    """Counts, then scores of those events whose base rate is known."""
    from darklantern.assess.tracking import SELECTIVE, calibration, history, pooled, resolved_pairs

    rates = dict(map(_rate, base_rates))
    forecasts, follow_ups = opened(folder)
    chosen = [each for each in forecasts if not levels or each.level in levels]
    counts = history(chosen, follow_ups)
    scores = {}
    for event, rate in rates.items():
        pairs = [
            (said, came) for (_, name, _), (said, came) in resolved_pairs(chosen, follow_ups).items() if name == event
        ]
        if len(pairs) >= _LEAST:
            stated = [pooled([each.probability for each in said]) for said, _ in pairs]
            happened = [float(came) for _, came in pairs]
            scores[event] = calibration(stated, happened, rate)
            _draw(picture, stated, happened, rate)
    if as_json:
        told = {event: {**_plain(each), "skill": each.skill} for event, each in scores.items()}
        tell_json({"counts": [_plain(each) for each in counts], "scores": told})
        return
    for each in counts:
        tell(each.says)
    for event, score in scores.items():
        tell(f"{event}: {score.says}")
    for event in sorted(rates.keys() - scores.keys()):
        tell(f"{event}: fewer than {_LEAST} resolved forecasts, nothing to score")
    tell(SELECTIVE)


def tell_power(resolved: int | None, base_rate: float, panels: tuple[int | None, int | None], as_json: bool) -> None:
    """What could be told. Raises AssessmentError where nothing was asked."""
    from darklantern.assess.tracking import alpha_width, power, resolved_for

    raters, items = panels
    if resolved is None and (raters is None or items is None):
        raise AssessmentError(
            "expected --resolved, or --raters and --items", hint="darklantern forecast power --resolved 80"
        )
    found = None if resolved is None else power(resolved, base_rate)
    enough = None if resolved is None else resolved_for(0.8, base_rate)
    width = None if raters is None or items is None else alpha_width(raters, items)
    if as_json:
        told = None if width is None else {"alpha": width.alpha, "width": width.width}
        tell_json({"power": found, "resolved_for_80_percent": enough, "agreement": told})
        return
    if found is not None:
        tell(
            f"{resolved} resolved: a calibrated forecaster beats a base rate of {base_rate:.0%} visibly in {found:.0%}"
        )
        tell(f"four times in five takes about {enough}")
    if width is not None:
        tell(
            f"{raters} raters, {items} findings: an alpha near {width.alpha:.1f} has an interval {width.width:.2f} wide"
        )
    tell("simulated, with raters who err by themselves: real ones take more")


def opened(folder: Path) -> tuple[list[Forecast], list[FollowUp]]:
    """All records of a folder. Raises StoreError for none, and RecordError for a file that is neither."""
    if not folder.is_dir():
        raise StoreError(f"there is no folder {folder}", hint="`darklantern forecast state` begins one")
    forecasts: list[Forecast] = []
    follow_ups: list[FollowUp] = []
    for file in sorted(folder.glob("*.json")):
        data = read(file).strip()
        try:
            forecasts.append(decode(Forecast, data))
        except RecordError:
            follow_ups.append(_follow_up(file, data))
    return forecasts, follow_ups


def _follow_up(file: Path, data: bytes) -> FollowUp:
    try:
        return decode(FollowUp, data)
    except RecordError as error:
        raise RecordError(
            f"{file} is neither a forecast nor a follow-up: {error.message}", hint="take it out of the folder"
        ) from error


def _write(folder: Path, record: Forecast | FollowUp) -> Path:
    data = encode(record)
    folder.mkdir(exist_ok=True)
    kind = "forecast" if isinstance(record, Forecast) else "followup"
    name = f"{kind}-{record.finding[:12]}-{record.event}-{record.months}-{hashlib.sha256(data).hexdigest()[:8]}.json"
    hand_out_new(folder / name, data + b"\n")
    return folder / name


def _question(given: tuple[str, int]) -> Any:
    event, months = given
    if event not in EVENTS or months not in HORIZONS:
        raise AssessmentError(
            f"expected one of {', '.join(EVENTS)} within 6, 12 or 24 months, got {event} within {months}",
            hint="darklantern forecast state FOLDER finding.toml rediscovery 12 0.3 --rater NAME",
        )
    return given


def _rate(text: str) -> tuple[str, float]:
    event, _, share = text.partition("=")
    try:
        rate = float(share)
    except ValueError:
        rate = 0.0
    if event not in EVENTS or not 0 < rate < 1:
        raise AssessmentError(f"expected EVENT=SHARE, got {text!r}", hint="--base-rate rediscovery=0.15")
    return event, rate


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise AssessmentError(f"expected a day, got {text!r}", hint="--on 2026-11-23") from error


def _draw(picture: Path | None, stated: list[float], happened: list[float], rate: float) -> None:
    if picture is not None:
        from darklantern.assess.tracking.showing import reliability

        reliability(stated, happened, rate).save(picture)


def _plain(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(value)
    return {name: plain(each) if hasattr(each, "__struct_fields__") else each for name, each in found.items()}

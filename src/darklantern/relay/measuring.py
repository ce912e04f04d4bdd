"""What a relay counts, in Prometheus' text format. No content, and no id beyond an org's name.

In: what happened. Out: text.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Counts:
    """Requests by route and status, and how long they took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def count(self, route: str, status: int, seconds: float, bytes_in: int, bytes_out: int) -> None:
        """One request. `route` is a pattern, never a path: paths hold ids."""
        self._requests[route, status] += 1
        buckets = self._seconds.setdefault(route, [0] * (len(_BUCKETS) + 1))
        buckets[next((at for at, top in enumerate(_BUCKETS) if seconds <= top), len(_BUCKETS))] += 1
        self._sums[route] += seconds  # type: ignore[assignment]  # a Counter adds floats too
        self._bytes["in"] += bytes_in
        self._bytes["out"] += bytes_out

    def lines(self) -> Iterable[str]:
        """The text's lines."""
        yield "# TYPE darklantern_requests_total counter"
        for (route, status), number in sorted(self._requests.items()):
            yield f'darklantern_requests_total{{route="{route}",status="{status}"}} {number}'
        yield "# TYPE darklantern_bytes_total counter"
        for way, number in sorted(self._bytes.items()):
            yield f'darklantern_bytes_total{{direction="{way}"}} {number}'
        yield "# TYPE darklantern_request_seconds histogram"
        for route, buckets in sorted(self._seconds.items()):
            total = 0
            for top, number in zip((*map(str, _BUCKETS), "+Inf"), buckets, strict=True):
                total += number
                yield f'darklantern_request_seconds_bucket{{route="{route}",le="{top}"}} {total}'
            yield f'darklantern_request_seconds_sum{{route="{route}"}} {self._sums[route]:.6f}'
            yield f'darklantern_request_seconds_count{{route="{route}"}} {total}'


def gauge(name: str, value: float, **labels: str) -> str:
    """One more line, for a figure that goes up and down."""
    text = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
    return f"darklantern_{name}{{{text}}} {value}" if text else f"darklantern_{name} {value}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

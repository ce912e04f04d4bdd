"""What a pin means on one axis: an index, counted in each example's own tokens where the axis counts those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from darklantern.errors import SiteError
from darklantern.models.sites import Each, Pin, Several, Site, Span

Index = int | slice | list[int] | Each
"""of one axis; an int takes the axis away, and so does Each, one index for each example"""
ALL = slice(None)
OF_TOKENS = ("pos", "key")
"""axes that may count tokens"""


def index_of(site: Site, axis: str, pin: Pin, size: int, of: str = "") -> Index:
    """The index of a pin that counts all of an axis. Raises SiteError for one outside."""
    if isinstance(pin, Span):
        return slice(pin.start, pin.stop)
    if isinstance(pin, Several):
        return [_at(site, axis, each, size, of) for each in pin]
    return _at(site, axis, pin, size, of) if isinstance(pin, int) else ALL


def counts_tokens(site: Site, axis: str) -> bool:
    """Whether `axis` counts the tokens that the model was given: those of an encoder, where there is one."""
    parts = site.path.split(".")
    if axis == "key" and "cross_attn" in parts:
        return True
    return axis in OF_TOKENS and "decoder" not in parts[:-1]  # a last part of that name may be an output head


def own_lengths(
    site: Site, axis: str, axes: Sequence[str], shape: Sequence[int], lengths: Sequence[int], width: int
) -> Sequence[int] | None:
    """Each example's own positions on `axis`, if it counts just the tokens of which they are; else None."""
    if axis not in axes or not counts_tokens(site, axis) or shape[axes.index(axis)] != width:
        return None
    batch = shape[axes.index("batch")] if "batch" in axes else 1
    return lengths if batch == len(lengths) else None


@dataclass(frozen=True)
class Known:
    """What is known of the tokens along an axis."""

    own: Sequence[int]
    """of the selected examples, if `fits`, else of all"""
    padded: bool
    fits: bool
    """whether the axis counts those tokens"""

    @classmethod
    def of(
        cls,
        site: Site,
        axis: str,
        sizes: Mapping[str, int],
        lengths: Sequence[int],
        width: int | None,
        examples: Sequence[int],
    ) -> "Known | None":
        width = max(lengths) if width is None else width
        own = own_lengths(site, axis, list(sizes), list(sizes.values()), lengths, width)
        if own is not None:
            own = [own[number] for number in examples]
        elif min(lengths) == width:
            return None  # nothing is padded, so nothing can be counted wrongly
        return cls(lengths if own is None else own, min(lengths if own is None else own) < width, own is not None)


def within(site: Site, axis: str, pin: Pin, size: int, known: Known) -> Index:
    """The index of a position that counts in each example's own tokens."""
    own, longest = known.own, min(known.own)  # of what all examples have
    ends = pin if isinstance(pin, Span | Several) else (pin,)
    from_end = any(isinstance(end, int) and end < 0 for end in ends) or (isinstance(pin, Span) and pin.stop is None)
    if not known.fits:
        if not from_end:
            return index_of(site, axis, pin, size)
        raise SiteError(
            f"{site} counts from the end of {size}, which are not the tokens of the examples, from {min(own)} to "
            f"{max(own)} each: what is padding there is not known",
            hint="count from 0, or batch examples of one length",
        )
    if len(set(own)) == 1:
        return _clipped(pin, longest) if isinstance(pin, Span) else index_of(site, axis, pin, longest)
    if isinstance(pin, int) and pin < 0:
        return Each(_at(site, axis, pin, length) for length in own)
    if from_end:
        raise SiteError(
            f"{site} counts from the end, and the examples have from {min(own)} to {max(own)} tokens",
            hint=f"one position from the end, such as {axis}=-1, works; or batch examples of one length",
        )
    return (
        _clipped(pin, longest)
        if isinstance(pin, Span)
        else index_of(site, axis, pin, longest, " in the shortest example")
    )


def one_each(
    site: Site, axis: str, pin: Each, sizes: Mapping[str, int], examples: Sequence[int], known: Known | None
) -> Index:
    """The index of a position that differs from example to example."""
    if axis not in OF_TOKENS or "batch" not in sizes or len(pin) != len(examples):
        raise SiteError(
            f"{site} names one position for each of {len(pin)} examples, and {axis} is an axis of "
            f"{' '.join(f'{name}={size}' for name, size in sizes.items())}, {len(examples)} of its examples selected",
            hint="one number for each selected example, along pos or key: pos=batch.find(...) of the batch that runs",
        )
    if known and not known.fits and min(pin) < 0:
        within(site, axis, min(pin), sizes[axis], known)
    own = known.own if known and known.fits else [sizes[axis]] * len(pin)
    found = Each(_at(site, axis, at, length) for at, length in zip(pin, own, strict=True))
    return found[0] if isinstance(dict(site.select).get("batch"), int) else found


def _clipped(pin: Span, size: int) -> slice:
    return slice(*slice(pin.start, pin.stop).indices(size))


def _at(site: Site, axis: str, number: int, size: int, of: str = "") -> int:
    if not -size <= number < size:
        heads = "; k and v count key-value heads" if axis == "head" and site.port in ("k", "v", "k_pre") else ""
        raise SiteError(
            f"{site} is outside the value there: axis {axis} has {size}{of}",
            hint=f"indices go from 0 to {size - 1}, or from -{size} to -1{heads}",
        )
    return number % size

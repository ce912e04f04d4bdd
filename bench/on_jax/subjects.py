"""The subjects, by the name that a worker is started with."""

from collections.abc import Callable

from on_jax.sizes import Sizes
from on_jax.subject import Subject


def linen(sizes: Sizes) -> Subject:
    from on_jax import linen_models

    return linen_models.unrolled(sizes)


def linen_scan(sizes: Sizes) -> Subject:
    from on_jax import linen_models

    return linen_models.scanned(sizes)


def nnx(sizes: Sizes) -> Subject:
    from on_jax import nnx_models

    return nnx_models.unrolled(sizes)


def equinox_scan(sizes: Sizes) -> Subject:
    from on_jax import equinox_models

    return equinox_models.scanned(sizes)


def haiku_stack(sizes: Sizes) -> Subject:
    from on_jax import haiku_models

    return haiku_models.stacked(sizes)


SUBJECTS: dict[str, Callable[[Sizes], Subject]] = {
    "linen": linen,
    "linen_scan": linen_scan,
    "nnx": nnx,
    "equinox_scan": equinox_scan,
    "haiku_stack": haiku_stack,
}
SCANNED = ("linen_scan", "equinox_scan", "haiku_stack")

"""What is attributed to: sites, of which the axes that are pinned to `*` are kept and all others summed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError, SiteError
from darklantern.models.dtypes import dtype_name
from darklantern.models.opened import Model
from darklantern.models.recording import Recording, Value
from darklantern.models.shim import namespace, numbers
from darklantern.models.sites import Site


@dataclass(frozen=True)
class Asked:
    """One site, or a part of it, and which of its axes are kept."""

    site: Site
    """pinned to what is a part of it"""
    kept: tuple[str, ...]

    def part(self, recording: Recording) -> Value:
        """What `recording`, which has the whole site, holds of it."""
        return recording[self.site.whole].at(**dict(self.site.select))

    def summed(self, product: Value, per_example: bool) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """`product` over all axes but the kept ones, examples first if they are kept too; and the axes left."""
        kept = (*self.kept, *["batch"] * per_example)
        if missing := [axis for axis in kept if axis not in product.axes]:
            raise MethodError(
                f"{self.site} has axes {' '.join(product.axes)}, so it has no {missing[0]} to keep",
                hint="pin axes that are there to *" if missing[0] != "batch" else "leave per_example out",
            )
        if dtype_name(product.array) in ("bfloat16", "float16"):  # thousands of numbers are added
            xp = namespace(product.array)
            product = replace(product, array=xp.astype(product.array, xp.float32))
        gone = [axis for axis in product.axes if axis not in kept]
        left = product.sum(*gone) if gone else product
        array = np.asarray(numbers(left.array), dtype=np.float64)
        if per_example:
            array = np.moveaxis(array, left.axes.index("batch"), 0)
        return array, (*["batch"] * per_example, *(axis for axis in left.axes if axis != "batch"))


def asked(model: Model, sites: str | Site | Sequence[str | Site]) -> tuple[Asked, ...]:
    """The sites that are named, each once. Raises SiteError for none, and for one that is asked for in two ways."""
    named = [sites] if isinstance(sites, str | Site) else list(sites)
    if not named:
        raise SiteError("expected at least one site to attribute to, got none", hint='"layers.*.attn:z[head=*]"')
    found: dict[Site, Asked] = {}
    for site in dict.fromkeys(site for name in named for site in model.plan(name).sites):
        starred = tuple(axis for axis, pin in site.select if pin == "*")
        if "batch" in starred:
            raise SiteError(f"{site} keeps the examples apart", hint="per_example=True does, for all sites")
        part = replace(site, select=tuple((axis, pin) for axis, pin in site.select if axis not in starred))
        if part in found:
            raise SiteError(f"{part} is asked for in two ways", hint="one after the other, or once with both axes")
        found[part] = Asked(part, starred)
    return tuple(found.values())


def examples(values: Recording) -> int:
    """How many a recording of whole sites has; 1 where no value has any."""
    found = [value.shape[value.axes.index("batch")] for value in values.values() if "batch" in value.axes]
    return found[0] if found else 1

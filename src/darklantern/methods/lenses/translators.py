"""One affine map for each layer, from what it returns to what the last layer would make of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darklantern.errors import MethodError
from darklantern.models.shim import backend, backend_of, framework_of
from darklantern.models.sites import Site, parse

_FORMAT = "darklantern translators v1"


@dataclass(frozen=True, eq=False)
class Translators:
    """At each site value → value @ matrix + shift, before it is read by the model's own last norm and unembedding."""

    how: str
    """tuned or jacobian"""
    maps: Mapping[Site, tuple[NDArray[Any], NDArray[Any]]]
    """matrix (dim, dim) and shift (dim,), NumPy's"""

    def __call__(self, site: Site, value: Any) -> Any:
        """The value of a site, (batch, pos, dim), translated. Raises MethodError for a site that has no map."""
        if site not in self.maps:
            raise MethodError(f"nothing was fitted for {site}", hint=f"fitted: {', '.join(map(str, self.maps))}")
        matrix, shift = (backend_of(value).like(_brought(each, value), value) for each in self.maps[site])
        if matrix.shape[0] != value.shape[-1]:
            raise MethodError(
                f"{site} has {value.shape[-1]} dimensions, and its map was fitted on {matrix.shape[0]}",
                hint="read the model that it was fitted on",
            )
        return value @ matrix + shift

    def save(self, path: str | PathLike[str]) -> None:
        """Write them to a new safetensors file, for `load_translators`. Raises MethodError where there is a file."""
        from safetensors.numpy import save_file

        if Path(path).exists():
            raise MethodError(f"{path} is there already", hint="another name, or remove it first")
        held = {}
        for number, (matrix, shift) in enumerate(self.maps.values()):
            held[f"{number}.matrix"], held[f"{number}.shift"] = (
                np.ascontiguousarray(matrix),
                np.ascontiguousarray(shift),
            )
        about = {"format": _FORMAT, "how": self.how, "sites": json.dumps([str(site) for site in self.maps])}
        save_file(held, path, about)


def load_translators(path: str | PathLike[str]) -> Translators:
    """What `Translators.save` wrote. Raises MethodError for another file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            about = file.metadata() or {}
            if about.get("format") != _FORMAT:
                raise MethodError(f"{path} holds no translators of a lens", hint="fit_lens(...).translators.save(path)")
            sites = [parse(each) for each in json.loads(about["sites"])]
            maps = {
                site: (file.get_tensor(f"{number}.matrix"), file.get_tensor(f"{number}.shift"))
                for number, site in enumerate(sites)
            }
    except (SafetensorError, OSError) as error:
        raise MethodError(
            f"{path} cannot be read: {error}", hint="fit_lens(...).translators.save(path) writes one"
        ) from error
    return Translators(about["how"], maps)


def _brought(array: NDArray[Any], value: Any) -> Any:
    return backend(framework_of(value)).from_numpy(np.array(array), copy=False)

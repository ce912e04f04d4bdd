"""Values of several layers as one."""

from dataclasses import replace
from typing import TYPE_CHECKING

from darklantern.errors import SiteError
from darklantern.models import shim
from darklantern.models.paths import nearest, select_paths, unquoted
from darklantern.models.sites import Site

if TYPE_CHECKING:
    from darklantern.models.recording import Recording, Value


def stacked(recording: "Recording", asked: Site) -> "Value":
    """What `recording` holds at the glob `asked`, along a first axis `layer`."""
    alike = {each.path: each for each in recording.sites if replace(each.whole, path=asked.path) == asked.whole}
    plain = {unquoted(path): path for path in alike} | {f"/{each.native}": path for path, each in alike.items()}
    paths = dict.fromkeys(plain[path] for path in select_paths(asked.path, plain))
    values = [recording[replace(asked, path=path)] for path in paths]
    if not values:
        names = [str(site) for site in recording.sites]
        close = nearest(str(asked), names) or names[:3]
        raise SiteError(f"nothing was recorded at {asked}", hint=f"recorded: {', '.join(close) or 'nothing'}")
    shapes = {(value.axes, value.shape) for value in values}
    if len(shapes) > 1:
        raise SiteError(
            f"the values at {asked} have different shapes: {', '.join(sorted(str(shape) for _, shape in shapes))}",
            hint="stack fewer of them, or parts that have one shape",
        )
    made = shim.stacked([value.array for value in values])
    return replace(values[0], site=asked, array=made, axes=("layer", *values[0].axes))

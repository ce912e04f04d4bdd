"""Whether a block's output is the next block's input and nothing else's: then a change of one is a change of the other.

Read off the jaxpr: from the output, through marks that compute nothing, to the entrance, each value read once. In a
scan the way leads over what one iteration hands to the next.
"""

from collections.abc import Iterator
from typing import Any

from darklantern.models.on_jax import internals
from darklantern.models.on_jax.internals import Jaxpr
from darklantern.models.on_jax.marks import MARKED
from darklantern.models.on_jax.naming import Naming
from darklantern.models.on_jax.outline import Address


def is_handed_on(jaxpr: Jaxpr, naming: Naming, site: Any, after: Any) -> bool:
    """Whether what `site` returns goes in at `after`, and nowhere else."""
    targets = [naming.resolve(each)[0][1] for each in (site, after)]
    if any(target.count != 1 for target in targets):
        return False
    one, other = (target.visits[0] for target in targets)
    begin, end, loops = one.point.place, other.point.place, one.point.loops
    if begin.address != end.address or loops != other.point.loops:
        return False
    body, scan = _body(jaxpr, begin.address)
    way = list(_way(body, body.eqns[begin.eqn].outvars[begin.var]))
    entrance = body.eqns[end.eqn].outvars[end.var]
    if one.at == other.at:
        return entrance in way
    if scan is None or loops[-1].address != begin.address or scan.reverse:
        return False
    if (*one.at[:-1], (one.at[-1] or 0) + 1) != other.at:
        return False
    carried = [place for place, v in enumerate(body.outvars) if v is way[-1]]
    if len(carried) != 1 or carried[0] >= scan.carry or any(way[-1] in eqn.invars for eqn in body.eqns):
        return False
    return entrance in _way(body, body.invars[scan.consts + carried[0]])


def _way(body: Jaxpr, var: Any) -> Iterator[Any]:
    """`var`, and what stands for it behind marks, as long as nothing else reads it."""
    while True:
        yield var
        readers = [eqn for eqn in body.eqns if var in eqn.invars]
        alone = len(readers) == 1 and var not in body.outvars and readers[0].primitive.name in MARKED
        if not alone:
            return
        var = readers[0].outvars[0]


def _body(jaxpr: Jaxpr, address: Address) -> tuple[Jaxpr, internals.Scan | None]:
    """The jaxpr at an address, and the scan that it is the body of."""
    if not address:
        return jaxpr, None
    eqn = internals.below(jaxpr, address[:-1]).eqns[address[-1][0]]
    return internals.below(jaxpr, address), internals.scan(eqn) if eqn.primitive.name == "scan" else None

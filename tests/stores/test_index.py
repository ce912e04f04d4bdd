"""A text is found by its words as long as it is in the index, and leaves no word behind."""

from pathlib import Path

import pytest

from darklantern.stores.database import Database
from darklantern.stores.index import BEGIN, END, Query
from darklantern.stores.values import Change, Document

KEY = bytes(range(32))


@pytest.fixture
def database(tmp_path: Path):
    database = Database.create(tmp_path / "db", KEY)
    yield database
    database.close()


def document(id: str, body: str = "", **changes: object) -> Document:
    values = {"item": id, "circle": "c", "kind": "item", "org": "Aurora", "person": "ada", "time": "2026", "title": ""}
    return Document(id=id, body=body, **(values | changes))  # type: ignore[arg-type]


def found(database: Database, expression: str, **filters: object) -> list[str]:
    return [row.id for row in database.find(Query(expression, **filters))]  # type: ignore[arg-type]


def test_words_are_found_whatever_their_accents_and_a_title_counts_more(database: Database) -> None:
    database.write(Change(documents=(document("body", "the Ångström head"), document("title", title="angstrom"))))
    assert found(database, '"angstrom"') == found(database, '"ÅNGSTRÖM"') == ["title", "body"]
    assert found(database, '"ang"*') and not found(database, '"ang"')


def test_each_filter_narrows(database: Database) -> None:
    one = document("one", "word", circle="c1", person="ada", time="2026-01-01T00:00:00Z", tags=("head", "two words"))
    two = document("two", "word", circle="c2", person="bo", org="Beacon", time="2026-02-01T00:00:00Z")
    database.write(Change(documents=(one, two)))
    for filters in ({"circle": "c1"}, {"author": "ada"}, {"author": "Aurora"}, {"tag": "two words"}):
        assert found(database, '"word"', **filters) == ["one"]
    assert found(database, '"word"', since="2026-01-15T00:00:00Z") == ["two"]
    assert len(found(database, '"word"', limit=1)) == 1
    assert found(database, '"word"', tag="two") == [] and found(database, '"two"') == ["one"]


def test_a_version_is_hidden_by_a_later_one_of_the_same_person_only(database: Database) -> None:
    database.write(Change(documents=(document("old", "word"), document("by bo", "x", person="bo", supersedes="old"))))
    assert found(database, '"word"') == ["old"]
    database.write(Change(documents=(document("new", "word", supersedes="old"),)))
    assert found(database, '"word"') == ["new"]
    assert sorted(found(database, '"word"', older=True)) == ["new", "old"]


def test_what_leaves_leaves_no_word(database: Database, tmp_path: Path) -> None:
    database.write(Change(documents=(document("x", "unique"), document("y", "other"))))
    database.write(Change(documents=(document("x", "changed"),), unindexed=("y", "never there")))
    assert (found(database, '"unique"'), found(database, '"other"'), found(database, '"changed"')) == ([], [], ["x"])
    assert database.indexed() == {"x"}
    run = database._connection.execute
    run("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, texts, row)")
    assert {word for (word,) in run("SELECT term FROM temp.words")} == {"changed"}
    assert run("SELECT v FROM texts_config WHERE k = 'secure-delete'").fetchone() == (1,)


def test_an_excerpt_marks_what_was_looked_for_and_a_text_cannot_forge_the_marks(database: Database) -> None:
    database.write(Change(documents=(document("x", f"a {BEGIN}forged{END} mark\0 and a word"),)))
    (row,) = database.find(Query('"word"'))
    assert row.excerpt == f"a  forged  mark  and a {BEGIN}word{END}"


def test_the_index_is_made_anew_of_what_is_handed_in(database: Database) -> None:
    database.write(Change(documents=(document("x", "word"),)))
    database.reindex([document("y", "word")])
    assert found(database, '"word"') == ["y"]

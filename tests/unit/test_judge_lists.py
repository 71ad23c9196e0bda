"""Judgment lists of every format become the same grades; what cannot be used is said, never guessed."""

import json
from pathlib import Path

import pytest

from evaluation.judgments import half_of, load
from services.errors import ConfigurationError

GRADES = {"red lamp": {"A": 3, "B": 0}, "chair": {"C": 1}}


def written(folder: Path, name: str, text: str | bytes) -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "query,doc_id,rating\nred lamp,A,3\nred lamp,B,0\nchair,C,1\n"),
        ("list.tsv", "query\tdoc_id\trating\nred lamp\tA\t3\nred lamp\tB\t0\nchair\tC\t1\n"),
        ("bom.csv", "\ufeffQuery,DocID,Rating\r\n red  lamp ,A,3\r\nred lamp,B,0\r\nchair,C,1\r\n"),
        ("list.qrels", "red_lamp 0 A 3\nred_lamp 0 B 0\nchair 0 C 1\n"),
        ("quepid.csv", "Team Name,Case Name,Case ID,Query Text,Doc ID,Doc Position,Title,Rating\nt,c,1,red lamp,A,1,x,3\nt,c,1,red lamp,B,2,y,0\nt,c,1,chair,C,1,z,1\n"),
        ("case.json", json.dumps({"queries": [{"query_text": "red lamp", "ratings": {"A": 3, "B": 0}}, {"query": "chair", "ratings": {"C": 1}}]})),
        ("book.json", json.dumps({"query_doc_pairs": [
            {"query_text": "red lamp", "doc_id": "A", "judgements": [{"rating": 3.0}, {"rating": 3.0}]},
            {"query_text": "red lamp", "doc_id": "B", "judgements": [{"rating": 0.0}]},
            {"query_text": "chair", "doc_id": "C", "judgements": [{"rating": 1.0}]}]})),
    ],
)  # fmt: skip
def test_every_format_gives_the_same_grades(tmp_path: Path, name: str, text: str) -> None:
    assert load(written(tmp_path, name, text)).grades == GRADES


def test_topics_name_the_queries_of_qrels(tmp_path: Path) -> None:
    qrels = written(tmp_path, "list.qrels", "1 0 A 3\n1 0 B 0\n2 0 C 1\n")
    assert load(qrels, written(tmp_path, "topics.tsv", "1\tred lamp\n2\tchair\n")).grades == GRADES


def test_a_query_that_the_topics_do_not_have_is_an_error(tmp_path: Path) -> None:
    qrels = written(tmp_path, "list.qrels", "1 0 A 3\n")
    with pytest.raises(ConfigurationError, match="query '1' is not among the topics"):
        load(qrels, written(tmp_path, "topics.tsv", "2\tchair\n"))


def test_several_raters_give_their_mean(tmp_path: Path) -> None:
    found = load(written(tmp_path, "l.csv", "query,doc_id,rating\nq,A,3\nq,A,2\nq,A,3\nq,B,0\nq,B,1\n"))
    assert found.grades == {"q": {"A": 3, "B": 1}}
    assert found.repeated == 3


def test_what_cannot_be_used_is_listed_with_its_line(tmp_path: Path) -> None:
    found = load(written(tmp_path, "l.csv", "query,doc_id,rating\nq,A,3\nq,B,\nq,,1\n,C,1\nq,D,good\n"))
    assert found.grades == {"q": {"A": 3}}
    assert [s.split(":")[0] for s in found.skipped] == ["line 3", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,rating\nq,1\n", "no column doc_id"),
        ("", "no column"),
        ("query,doc_id,rating\n", "no judgment that can be used"),
        ("query,doc_id,rating\nq,A,good\n", "line 2: rating 'good'"),
        ("{broken", "not JSON"),
        ('{"queries": [3, {"query": "q", "ratings": [1]}, {"query": "q", "judgements": ["x"]}]}', "no judgment that can be used"),
        ("[1, 2]", "no judgment that can be used"),
        (b"query,doc_id,rating\n\xff,A,1\n", "not UTF-8"),
    ],
)
def test_a_list_that_is_none_says_why(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(written(tmp_path, "l.csv", text))


def test_queries_are_filtered_and_halves_are_disjoint_and_complete(tmp_path: Path) -> None:
    rows = "".join(f"query {n},A,1\n" for n in range(40))
    found = load(written(tmp_path, "l.csv", "query,doc_id,rating\n" + rows))
    assert list(found.where("query 1$").grades) == ["query 1"]
    halves = [set(found.where(None, half).grades) for half in (0, 1)]
    assert halves[0] | halves[1] == set(found.grades)
    assert not halves[0] & halves[1]
    assert all(half_of(query) == 1 for query in halves[1])
    with pytest.raises(ConfigurationError, match="no query"):
        found.where("nothing like it")
    with pytest.raises(ConfigurationError, match="no regular expression"):
        found.where("(")

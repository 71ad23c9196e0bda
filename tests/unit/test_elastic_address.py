import pytest

from services.elastic import Cluster, ElasticError, shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://elastic:secret@tier-high:9200", "http://tier-high:9200"),
        ("http://elastic:p@ss@tier-high:9200", "http://tier-high:9200"),
        ("http://tier-high:9200", "http://tier-high:9200"),
        ("elastic:secret@tier-high", "tier-high"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_errors_do_not_tell_the_password() -> None:
    with pytest.raises(ElasticError) as refused:
        Cluster("http://elastic:secret@127.0.0.1:1").call("GET", "/")
    assert "secret" not in str(refused.value)
    with pytest.raises(ElasticError) as wrong:
        Cluster("elastic:secret@nowhere")
    assert "secret" not in str(wrong.value)

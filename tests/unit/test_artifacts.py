"""Versions exist with their manifest, are served after their pointer moves, and never change under a reader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.artifacts import Manifest, Served, Versions
from services.errors import ConfigurationError, VersionGone


def make(versions: Versions, content: str) -> int:
    version, folder = versions.begin()
    (folder / "data").write_text(content)
    versions.publish(version, {"content": content})
    return version


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "generations")


@pytest.fixture
def served(versions: Versions) -> Served[str]:
    return Served(versions, lambda folder, manifest: (folder / "data").read_text())


def test_a_version_without_manifest_does_not_exist(versions: Versions) -> None:
    version, folder = versions.begin()
    (folder / "data").write_text("half")
    assert versions.complete() == []
    with pytest.raises(ConfigurationError, match="not complete"):
        versions.activate(version)


def test_an_interrupted_build_is_started_afresh(versions: Versions) -> None:
    _, folder = versions.begin()
    (folder / "data").write_text("half")
    version, folder = versions.begin()
    assert (version, list(folder.iterdir())) == (1, [])


def test_a_manifest_tells_checksums_and_facts(versions: Versions) -> None:
    manifest = versions.manifest(make(versions, "one"))
    assert manifest.fact("content", str) == "one"
    assert list(manifest.files) == ["data"]


def test_nothing_is_served_before_a_pointer_exists(versions: Versions, served: Served[str]) -> None:
    make(versions, "one")
    assert served.refresh() is None
    with pytest.raises(VersionGone):
        served.get()


def test_the_current_version_and_the_one_before_are_served(versions: Versions, served: Served[str]) -> None:
    for content in ("one", "two", "three"):
        versions.activate(make(versions, content))
        served.refresh()
    assert served.get() == (3, "three")
    assert served.get(2) == (2, "two")
    with pytest.raises(VersionGone, match="served are \\[2, 3\\]"):
        served.get(1)


def test_a_rollback_serves_the_old_version_again(versions: Versions, served: Served[str]) -> None:
    for content in ("one", "two", "three"):
        versions.activate(make(versions, content))
        served.refresh()
    versions.activate(1)
    served.refresh()
    assert served.get() == (1, "one")
    assert served.get(3) == (3, "three")


def test_pruning_keeps_the_served_ones(versions: Versions) -> None:
    for content in "abcde":
        make(versions, content)
    versions.activate(2)
    assert versions.prune(2) == [3]
    assert versions.complete() == [1, 2, 4, 5]


def test_another_analyser_stops_the_start(versions: Versions) -> None:
    version = make(versions, "one")
    path = versions.folder(version) / "manifest.json"
    path.write_text(path.read_text().replace('"analyzer_version": "1"', '"analyzer_version": "0"'))
    with pytest.raises(ConfigurationError, match="aisle build"):
        versions.manifest(version)


def test_a_load_that_fails_leaves_the_old_version_served(versions: Versions) -> None:
    def load(folder: Path, manifest: Manifest) -> str:
        if manifest.version == 2:
            raise OSError("disk")
        return "one"

    served = Served(versions, load)
    versions.activate(make(versions, "one"))
    served.refresh()
    versions.activate(make(versions, "two"))
    with pytest.raises(OSError, match="disk"):
        served.refresh()
    assert served.get() == (1, "one")


@pytest.mark.parametrize("damage", [lambda file: file.write_text("twp"), lambda file: file.unlink()])
def test_a_file_that_differs_from_its_checksum_is_not_served(versions: Versions, damage: Callable[[Path], None]) -> None:
    version = make(versions, "two")
    versions.activate(version)
    damage(versions.folder(version) / "data")
    with pytest.raises(ConfigurationError, match=r"data is .*run `aisle build`"):
        Served(versions, lambda folder, manifest: "").refresh()
    assert Served(versions, lambda folder, manifest: "the other part", under="other/").refresh() == version


def test_a_pointer_or_manifest_that_is_damaged_says_what_to_do(versions: Versions) -> None:
    version = make(versions, "one")
    (versions.root / "CURRENT").write_text("junk")
    with pytest.raises(ConfigurationError, match=r"write one of \[1\]"):
        versions.current()
    (versions.folder(version) / "manifest.json").write_text("{")
    with pytest.raises(ConfigurationError, match="damaged"):
        versions.manifest(version)

"""What Elasticsearch is given on its standard input, and whom it runs as."""

import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.elasticsearch import _open_to_all, server_arguments


class Reader:
    """Elasticsearch's stream format as its reader has it (StreamInput 8.19)."""

    def __init__(self, content: bytes) -> None:
        self.stream = io.BytesIO(content)

    def vint(self) -> int:
        number = shift = 0
        while True:
            byte = self.stream.read(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def string(self) -> str:
        units = bytearray()
        for _ in range(self.vint()):
            first = self.stream.read(1)[0]
            following = 0 if first < 0x80 else 1 if first < 0xE0 else 2
            unit = ord((bytes([first]) + self.stream.read(following)).decode("utf-8", "surrogatepass"))
            units += unit.to_bytes(2, "big")
        return units.decode("utf-16-be")


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(settings=st.dictionaries(text, text, max_size=200), config=text, logs=text)
def test_the_server_reads_what_we_write(settings: dict[str, str], config: str, logs: str) -> None:
    reader = Reader(server_arguments(settings, Path(config), Path(logs)))
    assert reader.stream.read(3) == b"\0\0\0"
    assert reader.string() == "org.elasticsearch.common.settings.KeyStoreWrapper"
    assert reader.stream.read(8) == (7).to_bytes(4, "big") + bytes(4)
    read = {}
    for _ in range(reader.vint()):
        name = reader.string()
        assert reader.stream.read(1) == b"\0"
        read[name] = reader.string()
    assert read == settings
    assert (reader.string(), reader.string()) == (str(Path(config)), str(Path(logs)))
    assert reader.stream.read() == b""


def test_a_folder_in_a_closed_one_is_not_open_to_all(tmp_path: Path) -> None:
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not _open_to_all(inner)
    assert _open_to_all(Path("/"))

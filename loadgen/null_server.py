"""A server that does nothing: `python -m loadgen.null_server [--page-of FILE]` prints its address and answers every POST with the same bytes.

What a load measures against it is the generator itself. Plain asyncio, no framework: it has to be faster than what it calibrates.
"""

import argparse
import asyncio
from pathlib import Path

SMALL = b'{"ok":true}'
TIMING = b"fetch;dur=0.010;start=0.005, total;dur=0.020;start=0.000"


def response(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nserver-timing: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (status, TIMING, len(body)) + body


class Null(asyncio.Protocol):
    """One connection. Requests are told apart by their content-length alone."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._buffer = answer, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            assert self._transport
            self._transport.write(self._answer)


async def serve(body: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Null(response(body)), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadgen.null_server", description=__doc__)
    parser.add_argument("--page-of", type=Path, default=None, help="File whose bytes are the answer")
    known = parser.parse_args()
    asyncio.run(serve(known.page_of.read_bytes() if known.page_of else SMALL))


if __name__ == "__main__":
    main()

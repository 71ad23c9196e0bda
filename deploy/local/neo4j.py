"""Neo4j 5.26.0 Community as a local process, from its published Maven artifacts."""

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.local.cache import PLUGIN, Say, check, product, run_maven, say
from deploy.local.server import START_LIMIT_S, Server, await_ready, spawn
from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError

VERSION = "5.26.0"
NAME = f"neo4j-{VERSION}"
CHECKSUMS = Path(__file__).with_name(f"{NAME}.sha256")
"""One line a file: SHA-256, two spaces, name; as `sha256sum` has it."""
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>aisle.local</groupId><artifactId>neo4j</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>{VERSION}</version></dependency>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""
_BOLT_HELLO = bytes.fromhex("6060b017") + bytes.fromhex("00000405") + bytes(12)
"""Bolt's magic number, and the one version that we ask for, 5.4."""


def start(
    data_dir: Path, *, heap_mb: int = 256, page_cache_mb: int = 64, port: int = 0, settings: Mapping[str, str] | None = None,
    toolchain: Toolchain | None = None, limit_s: float = START_LIMIT_S, report: Say = say,
) -> Server:  # fmt: skip
    """Start a server that keeps its data in `data_dir` (made when missing, used again when not) and wait until it speaks Bolt.

    port: of Bolt, 0 takes a free one. settings: more of Neo4j's own. There is no password and no HTTP. Raises ConfigurationError in one line.
    """
    toolchain = toolchain or Toolchain.of_this_process()
    library = install(toolchain, report)
    home = data_dir.absolute()
    _configure(home, page_cache_mb, port, settings or {})
    console, log_file = home / "logs" / "console.log", home / "logs" / "neo4j.log"
    process = spawn(_command(toolchain.java, library, home, heap_mb), console, folder=home)
    url = await_ready("Neo4j", process, [console, log_file], lambda: _speaks_bolt(process.pid, port), limit_s)
    return Server("neo4j", url, process, log_file)


def install(toolchain: Toolchain, report: Say = say) -> Path:
    """The folder with its jars; downloaded the first time."""

    def make(folder: Path, repository: Path, report: Say) -> None:
        pom, listed = folder / "pom.xml", folder / "classpath"
        pom.write_text(_POM)
        run_maven(
            toolchain, repository, NAME, ["-f", str(pom), f"{PLUGIN}:build-classpath", "-DincludeScope=runtime", f"-Dmdep.outputFile={listed}"], report
        )  # fmt: skip
        jars = [Path(path) for path in listed.read_text().strip().split(os.pathsep) if path.endswith(".jar")]
        expected = checksums()
        if sorted(jar.name for jar in jars) != sorted(expected):
            odd = sorted({jar.name for jar in jars} ^ set(expected))
            raise ConfigurationError(f"Maven resolved {NAME} differently from {CHECKSUMS.name}: {', '.join(odd[:5])}")
        check({jar: expected[jar.name] for jar in jars})
        for jar in jars:
            os.link(jar, folder / jar.name)
        pom.unlink()
        listed.unlink()

    return product(toolchain, NAME, 128, make, report)


def checksums() -> dict[str, str]:
    """SHA-256 by file name."""
    pairs = (line.split("  ") for line in CHECKSUMS.read_text().splitlines())
    return {name: digest for digest, name in pairs}


def _configure(home: Path, page_cache_mb: int, port: int, settings: Mapping[str, str]) -> None:
    given = {
        "server.bolt.listen_address": f"127.0.0.1:{port}",
        "server.http.enabled": "false",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": f"{page_cache_mb}m",
        "dbms.security.auth_enabled": "false",
        "dbms.usage_report.enabled": "false",
        "db.tx_log.preallocate": "false",  # a quarter of a gigabyte of disk for each of two databases
        "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",  # otherwise each stop waits ten seconds for nothing
    } | dict(settings)
    try:
        for name in ("conf", "logs"):
            (home / name).mkdir(parents=True, exist_ok=True)
        (home / "conf" / "neo4j.conf").write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        (home / "logs" / "neo4j.log").touch()
    except OSError as error:
        raise ConfigurationError(f"Neo4j cannot keep its data in {home} ({error.strerror}): name another folder") from None


def _command(java: Path, library: Path, home: Path, heap_mb: int) -> list[str]:
    """The serial collector saves 130 MB."""
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ("java.nio", "java.io", "sun.nio.ch")]
    return [
        str(java), f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", "-XX:-OmitStackTraceInFastThrow", "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", *opened,
        "-cp", f"{library}/*", "org.neo4j.server.CommunityEntryPoint", "--home-dir", str(home), "--config-dir", str(home / "conf"),
    ]  # fmt: skip


def _speaks_bolt(pid: int, port: int) -> str | None:
    """The URL of a server that answered Bolt's handshake; None before that. With port 0 the kernel chose: we ask it which."""
    listening = port or _listening_port(pid)
    if not listening:
        return None
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", listening), timeout=2) as connection:
        connection.sendall(_BOLT_HELLO)
        if any(connection.recv(4)):  # the version it chose; zeros would mean none
            return f"bolt://127.0.0.1:{listening}"
    return None


def _listening_port(pid: int) -> int | None:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return None
    return next((c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN), None)

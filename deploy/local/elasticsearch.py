"""Elasticsearch 8.19.0 as a local process, one node, from the distribution that its Maven artifact `integ-test-zip` is.

Started without its launcher (a second JVM of 100 MB per server): we give the server what the launcher would, its arguments on standard
input. The server also ends when that input closes.

It is a reduced build: no `GET /` (ask `/_cluster/health`; the Python client's `info()` and `ping()` fail), no Painless scripts, no
`rank_feature`, `scaled_float`, `search_as_you_type`, no `_delete_by_query`, `_update_by_query`, `_reindex`, ES|QL, no language analysers, and no
custom analyser on the whitespace tokenizer (`"analyzer": "whitespace"` by name is fine). Elasticsearch refuses to run as root: for root it runs as the user `nobody`.
"""

import contextlib
import http.client
import os
import pwd
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local.cache import PLUGIN, Say, check, product, run_maven, say
from deploy.local.server import START_LIMIT_S, Server, await_ready, is_root, spawn
from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError

VERSION = "8.19.0"
ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
SHA256 = "14833b2d86c30656901f92049f81fb5777a8e4545413c8656cd1a21b55173033"
NAME = f"elasticsearch-{VERSION}"
_KEYSTORE = "org.elasticsearch.common.settings.KeyStoreWrapper"
_KEYSTORE_FORMAT = 7
_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %marker%m%consoleException%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


def start(
    data_dir: Path, *, heap_mb: int = 256, cluster_name: str = "aisle", port: int = 0, settings: Mapping[str, str] | None = None,
    toolchain: Toolchain | None = None, limit_s: float = START_LIMIT_S, report: Say = say,
) -> Server:  # fmt: skip
    """Start a node that keeps its data in `data_dir` (made when missing, used again when not) and wait until it is healthy.

    port: of HTTP, 0 takes a free one. settings: more of Elasticsearch's own. Raises ConfigurationError in one line.
    """
    toolchain = toolchain or Toolchain.of_this_process()
    home = install(toolchain, report)
    java = toolchain.java
    folders = _folders(data_dir.absolute())
    given = _settings(home, folders, cluster_name, port) | dict(settings or {})
    log_file = folders["logs"] / "elasticsearch.log"
    ports_file = folders["logs"] / "http.ports"
    ports_file.unlink(missing_ok=True)
    process = spawn(
        _command(java, home, folders, heap_mb), log_file, privileges=_privileges([home / "lib", *folders.values()]),
        stdin=server_arguments(given, folders["config"], folders["logs"]), folder=home,
        environment={"LIBFFI_TMPDIR": str(folders["tmp"]), "PATH": toolchain.environment.get("PATH", "")},
    )  # fmt: skip
    url = await_ready(f"Elasticsearch ({cluster_name})", process, [log_file], lambda: _healthy(ports_file), limit_s)
    return Server("elasticsearch", url, process, log_file)


def install(toolchain: Toolchain, report: Say = say) -> Path:
    """The folder of the distribution; downloaded the first time."""

    def make(folder: Path, repository: Path, report: Say) -> None:
        arguments = [f"{PLUGIN}:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder}"]
        run_maven(toolchain, repository, NAME, arguments, report)
        archive = folder / f"{NAME}.zip"
        check({archive: SHA256})
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)
        archive.unlink()
        for path in (folder / NAME).iterdir():
            path.rename(folder / path.name)
        (folder / NAME).rmdir()
        shutil.rmtree(repository / "org" / "elasticsearch", ignore_errors=True)  # 97 MB that nobody reads again

    return product(toolchain, NAME, 97, make, report)


def server_arguments(settings: Mapping[str, str], config: Path, logs: Path) -> bytes:
    """What the launcher writes to the server's standard input: `org.elasticsearch.bootstrap.ServerArgs` 8.19 in Elasticsearch's stream format:
    daemonize, quiet, no pid file, an empty keystore, the settings (a string each), two folders."""
    keystore = _string(_KEYSTORE) + _KEYSTORE_FORMAT.to_bytes(4, "big") + b"\0\0\0\0"  # no password, no data, no entries, not closed
    pairs = b"".join(_string(name) + b"\0" + _string(value) for name, value in settings.items())
    return b"\0\0\0" + keystore + _vint(len(settings)) + pairs + _string(str(config)) + _string(str(logs))


def _string(text: str) -> bytes:
    """Its length in UTF-16 units, then UTF-8 (of each unit by itself: what Java calls CESU-8)."""
    units = text.encode("utf-16-be", "surrogatepass")
    characters = [chr(int.from_bytes(units[i : i + 2], "big")) for i in range(0, len(units), 2)]
    return _vint(len(characters)) + "".join(characters).encode("utf-8", "surrogatepass")


def _vint(number: int) -> bytes:
    """Seven bits a byte, least significant first; the high bit says that more follow."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _settings(home: Path, folders: Mapping[str, Path], cluster_name: str, port: int) -> dict[str, str]:
    return {
        "path.home": str(home),
        "path.data": str(folders["data"]),
        "path.logs": str(folders["logs"]),
        "cluster.name": cluster_name,
        "node.name": cluster_name,
        "network.host": "127.0.0.1",
        "http.port": str(port),
        "transport.port": "0",
        "node.portsfile": "true",  # says in logs/http.ports which port was free: no race for it
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "cluster.routing.allocation.disk.threshold_enabled": "false",  # a laptop's disk is nearly full and still fine
    }


def _command(java: Path, home: Path, folders: Mapping[str, Path], heap_mb: int) -> list[str]:
    """What bin/elasticsearch comes to for this version, Java 17 and one small node; the serial collector saves 90 MB."""
    bridge = home / "lib" / "entitlement-bridge" / f"elasticsearch-entitlement-bridge-{VERSION}.jar"
    return [
        str(java), f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m", f"-XX:MaxDirectMemorySize={max(heap_mb // 2, 64)}m", "-XX:+UseSerialGC", "-Xss1m",
        "-XX:-OmitStackTraceInFastThrow", "-XX:+ExitOnOutOfMemoryError", f"-XX:ErrorFile={folders['logs']}/hs_err_pid%p.log",
        f"-Djava.io.tmpdir={folders['tmp']}", "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", "-Djava.locale.providers=SPI,COMPAT",
        "-Djna.nosys=true", "-Dio.netty.noUnsafe=true", "-Dio.netty.noKeySetOptimization=true",
        "-Dio.netty.recycler.maxCapacityPerThread=0", "-Dlog4j.shutdownHookEnabled=false", "-Dlog4j2.disable.jmx=true",
        "-Dlog4j2.formatMsgNoLookups=true", "-Dorg.apache.lucene.vectorization.upperJavaFeatureVersion=17",
        "-Des.networkaddress.cache.ttl=60", "-Des.networkaddress.cache.negative.ttl=10", "-Des.distribution.type=zip",
        "-Des.entitlements.enabled=true", "-XX:+EnableDynamicAgentLoading", "-Djdk.attach.allowAttachSelf=true",
        f"--patch-module=java.base={bridge}",
        "--add-exports=java.base/org.elasticsearch.entitlement.bridge=org.elasticsearch.entitlement,java.logging,java.net.http,java.naming,jdk.net",
        "--module-path", str(home / "lib"), "--add-modules=jdk.net", "--add-modules=jdk.management.agent", "--add-modules=ALL-MODULE-PATH",
        "-m", "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
    ]  # fmt: skip


def _folders(data_dir: Path) -> dict[str, Path]:
    """The node's folders by name, made and owned by whom it runs as."""
    folders = {name: data_dir / name for name in ("data", "logs", "tmp", "config")}
    try:
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        (folders["config"] / "log4j2.properties").write_text(_LOG4J)
        if is_root():
            user = pwd.getpwnam("nobody")
            for folder in folders.values():
                os.chown(folder, user.pw_uid, user.pw_gid)
    except OSError as error:
        raise ConfigurationError(f"Elasticsearch cannot keep its data in {data_dir} ({error.strerror}): name another folder") from None
    return folders


def _privileges(needed: list[Path]) -> list[str]:
    """Options of setpriv: for root, to become `nobody`, who may still read what only root can reach (a home folder, a test's)."""
    if not is_root():
        return []
    user = pwd.getpwnam("nobody")
    become = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    if all(_open_to_all(path) for path in needed):
        return become
    # access(2), by which Java looks for files, ignores capabilities without this security bit
    return [*become, "--securebits", "+no_setuid_fixup", "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]


def _open_to_all(path: Path) -> bool:
    """Whether every user may walk to this folder."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def _healthy(ports_file: Path) -> str | None:
    """The URL of a node whose cluster answers; None before that."""
    try:
        addresses = ports_file.read_text().split()
    except FileNotFoundError:
        return None
    address = next((a for a in addresses if a.startswith("127.0.0.1:")), None)
    if address is None:
        return None
    connection = http.client.HTTPConnection(address, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/_cluster/health?filter_path=status")
        if connection.getresponse().status == 200:
            return f"http://{address}"
    return None

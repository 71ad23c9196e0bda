"""What real servers need of the machine: Java 17, and Maven for the first download. Missing ones are said in one line."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from services.errors import ConfigurationError

JAVA = 17
JVMS = Path("/usr/lib/jvm")
"""Where Linux distributions put them."""
_VERSION = re.compile(r'version "(\d+)')
_JAVA_ADVICE = "install it (Debian and Ubuntu: `apt-get install openjdk-17-jre-headless`) or set JAVA_HOME to it"
_MAVEN_ADVICE = "install it (Debian and Ubuntu: `apt-get install maven`)"


@dataclass(frozen=True)
class Toolchain:
    """Where to look for Java and Maven, and where downloads are kept. Looking happens when something is asked for."""

    environment: Mapping[str, str]

    @classmethod
    def of_this_process(cls) -> "Toolchain":
        return cls(dict(os.environ))

    @property
    def cache(self) -> Path:
        """AISLE_CACHE, or `aisle` in the user's cache folder."""
        given = self.environment.get("AISLE_CACHE")
        if given:
            return Path(given).absolute()
        return Path(self.environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aisle"

    @cached_property
    def java(self) -> Path:
        """A `java` of version 17: that of JAVA_HOME, else of PATH, else of the usual folder. Raises ConfigurationError."""
        found: dict[str, int | None] = {}
        for path in self._candidates():
            version = java_version(path)
            if version == JAVA:
                return path
            found[str(path)] = version
        others = ", ".join(f"{path} is {version or 'none that runs'}" for path, version in found.items())
        raise ConfigurationError(
            f"Java {JAVA} is needed to run Elasticsearch and Neo4j and was not found{f' ({others})' if others else ''}: {_JAVA_ADVICE}"
        )

    @cached_property
    def maven(self) -> Path:
        """Raises ConfigurationError."""
        found = shutil.which("mvn", path=self.environment.get("PATH"))
        if found is None:
            raise ConfigurationError(f"Maven is needed once, to download Elasticsearch and Neo4j, and was not found: {_MAVEN_ADVICE}")
        return Path(found)

    def _candidates(self) -> Iterable[Path]:
        home = self.environment.get("JAVA_HOME")
        if home:
            yield Path(home) / "bin" / "java"
        on_path = shutil.which("java", path=self.environment.get("PATH"))
        if on_path:
            yield Path(on_path).resolve()
        yield from sorted(JVMS.glob(f"*{JAVA}*/bin/java"))


def java_version(java: Path) -> int | None:
    """The major version that this program says it has; None when it is none or does not run."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(said.stderr + said.stdout)
    return int(match[1]) if match else None

"""Compiles ``native/*.c`` when the package is built or installed; where that cannot be done, it does without.

A build hook of hatchling, named in pyproject.toml. ``CC`` and ``CFLAGS`` are heeded.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

NATIVE = "flowgimbal/engines/native"
LIBRARY = "native.library"
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-s")


def compiled(folder: Path, library: Path) -> str:
    """Compile the sources in ``folder``; why it could not be done, or nothing."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    sources = sorted(str(source) for source in folder.glob("*.c"))
    command = [*compiler, *FLAGS, *flags, "-o", str(library), *sources, "-lm"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except OSError as error:
        return f"no C compiler: {error}"
    except subprocess.CalledProcessError as error:
        return f"{shlex.join(compiler)} failed: {error.stderr}"
    return ""


def put(library: Path, folder: Path) -> str:
    """Put a library into a folder, in place of the one there at once: who has that loaded keeps it. Why not, if so."""
    beside = folder / f"{os.getpid()}.library"
    try:
        for older in folder.glob("*.library"):
            if older.name != LIBRARY:
                older.unlink()
        shutil.copy(library, beside)
        beside.replace(folder / LIBRARY)
    except OSError as error:
        return str(error)
    return ""


class CompiledLibrary(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the library into the wheel, which is then for this kind of machine alone.

    An editable installation imports from the source tree: it goes beside its source there. No other build touches that.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See ``BuildHookInterface``."""
        self._room = Path(tempfile.mkdtemp())
        folder, library = Path(self.root) / "engines" / NATIVE, self._room / LIBRARY
        problem = compiled(folder, library)
        if not problem and version == "editable":
            problem = put(library, folder)
        elif not problem:
            build_data["force_include"][str(library)] = f"{NATIVE}/{LIBRARY}"
            build_data["pure_python"] = False
            # Not manylinux: nobody has looked whether it would be.
            plain = (tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
            build_data["tag"] = f"py3-none-{next(plain)}"
        if problem:
            sys.stderr.write(f"flowgimbal will be slower than it could be, without its compiled library: {problem}\n")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """See ``BuildHookInterface``."""
        shutil.rmtree(self._room, ignore_errors=True)

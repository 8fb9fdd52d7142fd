"""Compiles ``native/sampling.c`` when the package is built or installed; without a C compiler all works, but slower.

A build hook of hatchling, named in pyproject.toml. ``CC`` and ``CFLAGS`` are heeded.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("engines/flowgimbal/engines/native")
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-s")


def compiled(source: Path, library: Path) -> str:
    """Compile; why it could not be done, or nothing."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    made = library.with_suffix(".made")
    try:
        subprocess.run(
            [*compiler, *FLAGS, *flags, "-o", made, source, "-lm"], check=True, capture_output=True, text=True
        )
    except OSError as error:
        return f"no C compiler: {error}"
    except subprocess.CalledProcessError as error:
        return f"{shlex.join(compiler)} failed: {error.stderr}"
    made.replace(library)  # at once: a running server keeps the one that it has
    return ""


class CompiledSampling(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the library beside its source, and into the wheel, which is then for this kind of machine alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """See ``BuildHookInterface``."""
        folder = Path(self.root) / NATIVE
        library = folder / "sampling.library"
        library.unlink(missing_ok=True)
        if problem := compiled(folder / "sampling.c", library):
            sys.stderr.write(f"pictures will be sampled by OpenCV, more slowly: {problem}\n")
            return
        build_data["artifacts"].append(str(NATIVE / library.name))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

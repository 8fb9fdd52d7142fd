"""The columns beside ours: stabilizers that users have, run as users run them, with their defaults.

Their packages (extra ``peers``) live in an environment of their own. FFmpeg is the one that comes with them, or the
system's. What they write is coded so finely that coding cannot be measured.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from quality.errors import ColumnError
from quality.process import run
from quality.variants import digest

_FINE = ("-c:v", "libx264", "-crf", "8", "-preset", "veryfast")
_ALL_FRAMES = ("-fps_mode", "passthrough")
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Filter:
    """FFmpeg with one video filter, or with one that looks and one that acts."""

    name: str
    delay: str
    acting: str
    looking: str = ""
    python: Path = Path("python3")
    ours: bool = False
    suffix: str = ".mkv"
    skipped: int = 0

    @property
    def key(self) -> str:
        return digest(text.encode() for text in (self.acting, self.looking, *_FINE, ffmpeg_version(self.python)))

    def missing(self) -> str:
        ffmpeg = find_ffmpeg(self.python)
        if not ffmpeg:
            return "no ffmpeg: neither the extra `peers` nor the system has one"
        filters = run([ffmpeg, "-hide_banner", "-filters"])
        wanted = [text.partition("=")[0] for text in (self.looking, self.acting) if text]
        lacking = [name for name in wanted if f" {name} " not in filters]
        return f"this ffmpeg was built without {', '.join(lacking)}" if lacking else ""

    def steady(self, source: Path, target: Path) -> None:
        start: list[str | Path] = [find_ffmpeg(self.python), "-v", "error", "-y", "-i", source.resolve()]
        with tempfile.TemporaryDirectory(prefix="quality-") as folder:
            if self.looking:
                run([*start, "-vf", self.looking, *_ALL_FRAMES, "-f", "null", "-"], Path(folder))
            run([*start, "-vf", self.acting, *_ALL_FRAMES, *_FINE, target.resolve()], Path(folder))


@dataclass(frozen=True)
class Package:
    """A package of PyPI, run by a small script beside this file."""

    name: str
    delay: str
    package: str
    script: str
    python: Path
    skipped: int = 0
    ours: bool = False
    suffix: str = ".avi"

    @property
    def key(self) -> str:
        versions = (package_version(self.python, name) for name in (self.package, "opencv-python-headless"))
        return digest([(_HERE / self.script).read_bytes(), *(version.encode() for version in versions)])

    def missing(self) -> str:
        return "" if package_version(self.python, self.package) else f"{self.package} is not installed (extra `peers`)"

    def steady(self, source: Path, target: Path) -> None:
        run([self.python, _HERE / self.script, source, target])


def peers(python: Path) -> tuple[Filter | Package, ...]:
    """All of them; ``python`` is the interpreter of the environment that they are installed in."""
    return (
        Filter("ffmpeg deshake", "0 frames", "deshake", python=python),
        Filter("ffmpeg vidstab", "whole clip", "vidstabtransform", "vidstabdetect", python=python),
        Package("vidgear", "25 frames", "vidgear", "run_vidgear.py", python, skipped=1),
        Package("vidstab (PyPI)", "30 frames", "vidstab", "run_vidstab.py", python),
    )


def described(python: Path) -> list[str]:
    """Names and versions of what is there, for the page."""
    found = [f"ffmpeg {ffmpeg_version(python)}"] if find_ffmpeg(python) else []
    for name in ("vidgear", "vidstab", "opencv-python-headless"):
        version = package_version(python, name)
        if version:
            found.append(f"{name} {version}")
    return found


@cache
def package_version(python: Path, name: str) -> str:
    """The installed version; empty if there is none."""
    try:
        return run([python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"]).strip()
    except ColumnError:
        return ""


@cache
def find_ffmpeg(python: Path) -> str:
    """The program's path; empty if there is none."""
    try:
        return run([python, "-c", "import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())"]).strip()
    except ColumnError:
        return shutil.which("ffmpeg") or ""


@cache
def ffmpeg_version(python: Path) -> str:
    """As the program says it; empty if there is none."""
    ffmpeg = find_ffmpeg(python)
    return run([ffmpeg, "-version"]).split()[2] if ffmpeg else ""

"""The columns beside ours: stabilizers that users have, run as users run them, with their defaults.

Their packages (extra ``peers``) live in an environment of their own. FFmpeg is the one that comes with them; where the
system has one too, that one's vidstab gets a column as well: its library has become a good deal better, and many still
run the old one. What they write is coded so finely that coding cannot be measured.
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

CROP = "crop alone"  # of 10 %, as ours: what enlarging and coding do by themselves


@dataclass(frozen=True)
class Filter:
    """FFmpeg with one video filter, or with one that looks and one that acts."""

    name: str
    delay: str
    acting: str
    looking: str = ""
    ffmpeg: str = ""
    ours: bool = False
    suffix: str = ".mkv"
    skipped: int = 0

    @property
    def key(self) -> str:
        return digest(text.encode() for text in (self.acting, self.looking, *_FINE, ffmpeg_version(self.ffmpeg)))

    def missing(self) -> str:
        if not self.ffmpeg:
            return "no ffmpeg: neither the extra `peers` nor the system has one"
        filters = run([self.ffmpeg, "-hide_banner", "-filters"])
        wanted = [text.partition("=")[0] for text in (self.looking, self.acting) if text]
        lacking = [name for name in wanted if f" {name} " not in filters]
        return f"this ffmpeg was built without {', '.join(lacking)}" if lacking else ""

    def steady(self, source: Path, target: Path) -> None:
        start: list[str | Path] = [self.ffmpeg, "-v", "error", "-y", "-i", source.resolve()]
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
    bundled, system = bundled_ffmpeg(python), shutil.which("ffmpeg") or ""
    filters = [
        Filter(CROP, "0 frames", "crop=0.9*iw:0.9*ih,scale=2*round(iw/1.8):2*round(ih/1.8)", ffmpeg=bundled or system),
        Filter("ffmpeg deshake", "0 frames", "deshake", ffmpeg=bundled or system),
        Filter("ffmpeg vidstab", "whole clip", "vidstabtransform", "vidstabdetect", bundled or system),
    ]
    if bundled and system:
        name = "ffmpeg vidstab (system)"
        filters.append(Filter(name, "whole clip", "vidstabtransform", "vidstabdetect", system))
    return (
        *filters,
        Package("vidgear", "25 frames", "vidgear", "run_vidgear.py", python, skipped=1),
        Package("vidstab (PyPI)", "30 frames", "vidstab", "run_vidstab.py", python),
    )


def described(python: Path) -> list[str]:
    """Names and versions of what is there, for the page."""
    bundled, system = bundled_ffmpeg(python), shutil.which("ffmpeg") or ""
    found = [f"ffmpeg {ffmpeg_version(bundled)}"] if bundled else []
    if system:
        found.append(f"the system's ffmpeg {ffmpeg_version(system)}")
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
def bundled_ffmpeg(python: Path) -> str:
    """The program that came with the extra; empty if there is none."""
    try:
        return run([python, "-c", "import imageio_ffmpeg as i; print(i.get_ffmpeg_exe())"]).strip()
    except ColumnError:
        return ""


@cache
def ffmpeg_version(ffmpeg: str) -> str:
    """As the program says it; empty if there is none."""
    return run([ffmpeg, "-version"]).split()[2] if ffmpeg else ""

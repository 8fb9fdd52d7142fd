"""Plans on disk. Each says what it was made from and for; one that is stale, foreign or damaged is never loaded."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

PRECISION = "fp16"


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan holds for: it fits nothing else."""

    network: str
    onnx: str  # SHA-256 of the network's file
    builder: str  # module and version
    card: str
    precision: str = PRECISION

    @staticmethod
    def of(network: str, onnx: bytes, builder: str, card: str) -> PlanKey:
        """The key of ``network``, whose file is ``onnx``."""
        return PlanKey(network, hashlib.sha256(onnx).hexdigest(), builder, card)

    @property
    def stem(self) -> str:
        """Of the plan's file: the network, and a digest of all of the key."""
        return f"{self.network}-{_digest(json.dumps(asdict(self), sort_keys=True).encode())[:16]}"


class PlanCache:
    """A folder of plans. A plan is written whole or not at all: two servers may share the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: PlanKey) -> bytes | None:
        """The plan for ``key``; None if there is none that is whole."""
        return None if self.why_not(key) else self._plan(key).read_bytes()

    def why_not(self, key: PlanKey) -> str:
        """Why there is no plan for ``key``; empty if there is one."""
        try:
            label = json.loads(self._label(key).read_text())
            whole = _digest(self._plan(key).read_bytes()) == label["plan"]
        except FileNotFoundError:
            others = sorted(self.folder.glob(f"{key.network}-*.json"))
            return f"not built for this card and version ({len(others)} for others)" if others else "not built yet"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"unreadable: {error}"
        if label.get("key") != asdict(key):
            return "labelled for another card, version or network"
        return "" if whole else "damaged: its bytes are not those that were written"

    def store(self, key: PlanKey, plan: bytes) -> None:
        """Keep the plan for ``key``. Raises OSError."""
        label = {"key": asdict(key), "plan": _digest(plan)}
        self._write(self._plan(key), plan)
        self._write(self._label(key), json.dumps(label, indent=1).encode())

    def timings(self, builder: str, card: str) -> bytes:
        """What builds on this card have learned; empty at first."""
        file = self._timings(builder, card)
        return file.read_bytes() if file.exists() else b""

    def store_timings(self, builder: str, card: str, timings: bytes) -> None:
        """Keep what a build has learned. Raises OSError."""
        self._write(self._timings(builder, card), timings)

    def _plan(self, key: PlanKey) -> Path:
        return self.folder / f"{key.stem}.plan"

    def _label(self, key: PlanKey) -> Path:
        return self.folder / f"{key.stem}.json"

    def _timings(self, builder: str, card: str) -> Path:
        return self.folder / f"timings-{_digest(f'{builder} {card}'.encode())[:16]}.bin"

    def _write(self, file: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=f".{file.name}.", delete=False) as draft:
            draft.write(data)
        Path(draft.name).replace(file)


def default_folder() -> Path:
    """``FLOWGIMBAL_ENGINE_CACHE``, or ``flowgimbal/engines`` in the user's cache."""
    named = os.environ.get("FLOWGIMBAL_ENGINE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowgimbal" / "engines"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""The bill of materials (CycloneDX) of an environment that docker/install.sh made; is it what the lock pins?

    bom.py PYTHON_OF_THE_ENVIRONMENT OUT.json [cpu|gpu]

cyclonedx-py lists the packages. What their metadata leave out comes from docker/licences.toml: licences that are no
SPDX name, and the shared libraries inside the wheels, each with its digest. Exit status 1, with a line for each
complaint, where a pinned package is missing or of another version, a stranger is there, or a licence is unknown,
another one than the table's, or not allowed. Runs in the environment of docker/locks/tools.txt. Not in the list:
Python, what the base image brings, and what is linked statically into a wheel's own modules.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from licences import Licences, is_allowed, table
from locks import Pin, lock, normalized

ROOT = Path(__file__).parent.parent
OURSELVES = "flowgimbal"
# auditwheel writes a digest, or two, behind the name: libx264-d6533a8d.so.165, libopenblasp-r0-59ffcd50.3.15.so
_LIBRARY = re.compile(r"(?P<name>lib.+?)(?:-[0-9a-f]{8})*(?:\.(?P<in_name>\d[\d.]*))?\.so(?:\.(?P<version>.+))?")


def listed(python: str) -> dict[str, Any]:
    """What cyclonedx-py finds in the environment of ``python``."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--spec-version", "1.6"]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-format", "JSON", python]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    bom: dict[str, Any] = json.loads(found.stdout)
    return bom


def spdx(component: dict[str, Any]) -> str:
    """The licence of a component as an SPDX expression; empty where there is none or it is not one."""
    entries = component.get("licenses", [])
    names = [entry.get("expression") or entry["license"].get("id", "") for entry in entries]
    return " AND ".join(names) if all(names) else ""


def libraries(site: Path, package: str, licences: Licences) -> list[dict[str, Any]]:
    """The shared libraries that the wheel of a package carries beside its own modules."""
    known = licences.bundled.get(package, {})
    found = []
    for file in sorted((site / f"{package.replace('-', '_')}.libs").glob("*.so*")):
        match = _LIBRARY.fullmatch(file.name)
        name = match["name"] if match else file.name
        entry: dict[str, Any] = {"type": "library", "bom-ref": f"{package}/{file.name}", "name": name}
        if match and (version := match["version"] or match["in_name"]):
            entry["version"] = version
        entry["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]
        if name in known:
            entry["licenses"] = [{"expression": known[name], "acknowledgement": "concluded"}]
        found.append(entry)
    return found


def complete(bom: dict[str, Any], site: Path, licences: Licences) -> None:
    """Write into the list what the metadata of packages leave out."""
    for component in bom["components"]:
        name = normalized(component["name"])
        component["purl"] = f"pkg:pypi/{name}@{component['version']}"
        if not spdx(component) and name in licences.packages:
            component["licenses"] = [{"expression": licences.packages[name], "acknowledgement": "concluded"}]
        if inside := libraries(site, name, licences):
            component["components"] = inside


def complaints(bom: dict[str, Any], pinned: dict[str, Pin], licences: Licences, extra: frozenset[str]) -> list[str]:
    """What is wrong, in words. ``extra``: licences that packages may have beside the permissive ones."""
    there = {normalized(one["name"]): one for one in bom["components"]}
    there.pop(OURSELVES, None)
    found = [f"{name} is pinned and not there" for name in pinned.keys() - there.keys()]
    found += [f"{name} is there and not pinned" for name in there.keys() - pinned.keys()]
    for name, component in there.items():
        if name in pinned and component["version"] != pinned[name].version:
            found.append(f"{name} is {component['version']}, pinned is {pinned[name].version}")
        said, ours = spdx(component), licences.packages.get(name, "")
        if not ours:
            found.append(f"{name}: docker/licences.toml does not know it")
        elif said != ours:
            found.append(f"{name} is under {said!r}, docker/licences.toml says {ours!r}")
        if not is_allowed(said, licences.permissive | extra):
            found.append(f"{name}: {said or 'an unknown licence'} is not allowed")
        for library in component.get("components", []):
            if not is_allowed(spdx(library), licences.permissive | licences.bundled_only):
                found.append(
                    f"{name} carries {library['name']}: {spdx(library) or 'an unknown licence'} is not allowed"
                )
    return sorted(found)


def main(python: str, out: str, image: str = "cpu") -> int:
    """List, complete, hold against lock and table, write; return the exit status."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    licences = table()
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    bom = listed(python)
    complete(bom, Path(where.stdout.strip()), licences)
    text = json.dumps(bom, indent=2, sort_keys=True) + "\n"
    found = complaints(bom, lock(image), licences, licences.gpu_only if image == "gpu" else frozenset())
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        found.append(f"not CycloneDX 1.6: {error}")
    Path(out).write_text(text)
    inside = sum(len(one.get("components", [])) for one in bom["components"])
    sys.stdout.write(f"{out}: {len(bom['components'])} packages, {inside} libraries inside them\n")
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

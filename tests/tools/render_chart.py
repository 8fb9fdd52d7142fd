"""Print what docker/kubernetes makes of values: `helm template flowgimbal docker/kubernetes`, without helm.

    pip install helm-python-sdk && python tests/tools/render_chart.py [docker/kubernetes/values-gpu.yaml] [MORE ...]

Later files outweigh earlier ones. Values that the chart refuses are an error and exit code 1. A program of its own,
because the SDK brings Go's runtime, which takes over the signals of its process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "docker" / "kubernetes"


def merged(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: merged(below.get(key), value) for key, value in above.items()}


if __name__ == "__main__":
    values: Any = {}
    for path in sys.argv[1:]:
        values = merged(values, yaml.safe_load(Path(path).read_text()) or {})
    try:
        with helm_python.Chart.load(CHART) as chart:
            rendered = chart.render(values, name="flowgimbal", namespace="video")
    except helm_python.HelmError as error:
        sys.exit(str(error))
    for name, text in sorted(rendered.items()):
        if name.endswith(".yaml"):
            sys.stdout.write(f"---\n# {name}\n{text}\n")

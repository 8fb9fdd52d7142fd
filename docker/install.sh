#!/bin/sh
# Installs the checkout SOURCE, as a wheel, with the pinned dependencies beside this script, into a new environment TARGET.
# The images run this script and nothing else; so does `make container-check`, on any machine with Python.
# usage: [PYTHON=python3] install.sh SOURCE TARGET [EXTRA]
set -eu
source=$(cd "$1" && pwd)
target=$2
here=$(cd "$(dirname "$0")" && pwd)
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1704067200}" # the same wheel from the same files, whenever it is built

"${PYTHON:-python3}" -m venv "$target"
pip() { "$target/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir "$@"; }
# The build's own tools are pinned too: PIP_CONSTRAINT reaches the environment in which pip builds.
export PIP_CONSTRAINT="$here/constraints.txt"
pip wheel --no-deps --wheel-dir "$wheels" "$source"
for wheel in "$wheels"/*.whl; do
    pip install "$wheel${3:+[$3]}"
done
sha256sum "$wheels"/*.whl | sed "s|$wheels/||"

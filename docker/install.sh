#!/bin/sh
# Installs the checkout SOURCE, as a wheel, with the dependencies that locks/ beside this script pins, into a new environment TARGET.
# What comes from an index is held against its hash before anything of it runs.
# The images run this script and nothing else; so does `make container-check`, on any machine with Python.
# usage: [PYTHON=python3] install.sh SOURCE TARGET [cpu|gpu]
set -eu
source=$(cd "$1" && pwd)
target=$2
lock=${3:-cpu}
locks=$(cd "$(dirname "$0")/locks" && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1704067200}" # the same wheel from the same files, whenever it is built

"${PYTHON:-python3}" -m venv "$room/build"
pip() { "$room/build/bin/python" -m pip --quiet --disable-pip-version-check --no-cache-dir "$@"; }
pip install --require-hashes --only-binary :all: --requirement "$locks/build.txt"
# Without isolation: the build's own tools are those just installed, not what the index has today.
pip wheel --no-deps --no-build-isolation --wheel-dir "$room/own" "$source"
# From source only what has no wheel, and that is in the image for NVIDIA cards alone.
pip wheel --require-hashes --only-binary :all: --no-binary pycuda,tensorrt,tensorrt-cu13,tensorrt-cu13-libs \
    --no-deps --no-build-isolation --wheel-dir "$room/others" --requirement "$locks/$lock.txt"

# The environment gets these files and nothing else; there is no pip in it.
"${PYTHON:-python3}" -m venv --without-pip "$target"
pip --python "$target" install --no-index --no-deps "$room"/own/*.whl "$room"/others/*.whl
pip --python "$target" check
(cd "$room/own" && sha256sum ./*.whl | sed 's|\./||')

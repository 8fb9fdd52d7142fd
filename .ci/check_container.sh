#!/usr/bin/env bash
# Does what the image does, without Docker: install.sh, serve, health check, and the demo against that server; and holds what is
# installed against the lock and the table of licences.
# usage: check_container.sh PYTHON PYTHON_WITH_CYCLONEDX
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1
cyclonedx=$PWD/$2
room=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null || true; rm -rf "$room"' EXIT

# What .dockerignore lets through, as far as git knows it: no environments, no caches, no videos.
mkdir "$room/src"
git ls-files -z --cached --others --exclude-standard -- pyproject.toml README.md LICENSE NOTICE proto engines server client docker |
    tar --create --null --files-from=- | tar --extract --directory="$room/src"

first=$(PYTHON=$python "$room/src/docker/install.sh" "$room/src" "$room/first")
second=$(PYTHON=$python "$room/src/docker/install.sh" "$room/src" "$room/second")
[[ $first == "$second" ]] || { printf 'the wheel differs from build to build:\n%s\n%s\n' "$first" "$second" >&2; exit 1; }
printf '%s, twice the same\n' "$first"
"$cyclonedx" .ci/bom.py "$room/first/bin/python" "$room/flowgimbal-cpu.cdx.json"

cd "$room"
address=unix:$room/socket
"$room/first/bin/flowgimbal" serve --listen "$address" --log-format json 2>"$room/log" &
server=$!
for _ in {1..150}; do
    if "$room/first/bin/flowgimbal" health --server "$address" >/dev/null 2>&1; then break; fi
    kill -0 "$server" || { cat "$room/log" >&2; exit 1; }
    sleep 0.2
done
"$room/first/bin/flowgimbal" health --server "$address"
"$room/first/bin/flowgimbal" demo --server "$address" --out "$room/out"
kill -TERM "$server"
wait "$server"
server=

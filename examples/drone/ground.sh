#!/bin/sh
# Between a vehicle and QGroundControl: ground.sh [FLAGS OF flowgimbal live]; ports by IN_PORT and OUT_PORT
set -eu
exec flowgimbal live --source "rtp://0.0.0.0:${IN_PORT:-5600}" --sink "rtp://127.0.0.1:${OUT_PORT:-5601}" \
    --sink flight.jsonl --record-raw flight-raw.mkv "$@"

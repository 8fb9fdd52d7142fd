#!/bin/sh
# An IP camera to two recordings and a player: camera.sh RTSP_URL [UDP_PORT]
set -eu
exec flowgimbal live --source "$1" --record-raw raw.mkv --sink steady.mkv --sink "udp://127.0.0.1:${2:-5000}"

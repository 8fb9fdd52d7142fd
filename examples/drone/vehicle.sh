#!/bin/sh
# For want of a vehicle: vehicle.sh CLIP, over and over, as H.264 over RTP; port by IN_PORT
set -eu
exec ffmpeg -v error -re -stream_loop -1 -i "$1" -an -c:v libx264 -preset ultrafast -tune zerolatency -g 30 \
    -f rtp "rtp://127.0.0.1:${IN_PORT:-5600}"

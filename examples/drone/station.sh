#!/bin/sh
# For want of QGroundControl: the pipeline that it builds for "UDP h.264 Video Stream"; port by OUT_PORT
set -eu
# shellcheck disable=SC2086 # SINK may be several elements
exec gst-launch-1.0 -q udpsrc port="${OUT_PORT:-5601}" \
    caps="application/x-rtp,media=(string)video,clock-rate=(int)90000,encoding-name=(string)H264" \
    ! rtpjitterbuffer latency=60 do-lost=true ! parsebin ! decodebin3 ! ${SINK:-videoconvert ! autovideosink}

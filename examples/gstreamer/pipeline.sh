#!/bin/sh
# From one GStreamer pipeline to another: pipeline.sh IN.mp4 OUT.mkv
set -eu
gst-launch-1.0 -q filesrc location="$1" ! qtdemux ! h264parse config-interval=-1 ! mpegtsmux ! fdsink |
    flowgimbal live --source - --sink - --mode lossless |
    gst-launch-1.0 -q fdsrc ! tsdemux ! h264parse ! matroskamux ! filesink location="$2"

#!/bin/sh
# A file to a steady one, and how much steadier it is: steady.sh IN OUT
set -eu
flowgimbal stabilize "$1" "$2" --look-ahead-frames 30
flowgimbal evaluate "$1" "$2"

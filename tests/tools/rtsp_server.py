"""GStreamer's RTSP server, for Python with gi (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0). Says "ready" on stderr.

    python3 rtsp_server.py PORT --clip FILE          serves an MP4 at /camera, from its beginning for each first reader
    python3 rtsp_server.py PORT --through OUT BACK   serves at /camera what is published to /publish

What is published leaves as RTP to the UDP port OUT of this machine and comes back to BACK, past whoever stands between.
"""

from __future__ import annotations

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

RTP = "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96"
WHOLE = "video/x-h264,stream-format=byte-stream,alignment=au"
"""Whole pictures: slice by slice they would each be a packet's last, and be taken for pictures."""
PAY = f"{WHOLE} ! rtph264pay pt=96 config-interval=-1"


def factory(pipeline: str) -> GstRtspServer.RTSPMediaFactory:
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(f"( {pipeline} )")
    made.set_shared(True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port")
    parser.add_argument("--clip")
    parser.add_argument("--through", type=int, nargs=2, metavar=("OUT", "BACK"))
    options = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_service(options.port)
    server.get_thread_pool().set_max_threads(-1)  # who asks for /camera waits for pictures, which others publish
    mounts = server.get_mount_points()
    if options.clip:
        mounts.add_factory(
            "/camera", factory(f"filesrc location={options.clip} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96")
        )
    if options.through:
        out, back = options.through
        published = factory(f"rtph264depay name=depay0 ! {PAY} ! udpsink host=127.0.0.1 port={out} sync=false")
        published.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        mounts.add_factory("/publish", published)
        # The times are those that were published, not those of the packets' arrival.
        unpacked = f'udpsrc port={back} caps="{RTP}" ! rtpjitterbuffer mode=none latency=0 ! rtph264depay'
        mounts.add_factory("/camera", factory(f"{unpacked} ! {PAY} name=pay0"))
    assert server.attach(None)
    sys.stderr.write("ready\n")
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()

"""What travels beside the pictures of a transport stream."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from e2e.live.programs import live

from flowgimbal.client.assets import BUNDLED_CLIP


def klv_file(path: Path) -> list[tuple[int, bytes]]:
    """The bundled clip as a transport stream with metadata beside every fifth picture; times [90 kHz] and packets."""
    sent = []
    with av.open(str(BUNDLED_CLIP)) as source, av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        metadata = out.add_data_stream("klv")
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if number % 5 == 0:
                klv = av.Packet(bytes.fromhex("060e2b34") + number.to_bytes(2, "big"))
                klv.stream, klv.time_base = metadata, packet.time_base
                klv.pts = klv.dts = packet.dts
                sent.append((int(packet.dts * packet.time_base * 90_000), bytes(klv)))
                out.mux(klv)
            packet.stream = video
            out.mux(packet)
    return sent


@pytest.mark.parametrize("sink", ["steady.ts", "raw.ts"])
def test_metadata_of_a_transport_stream_is_passed_on(run, tmp_path, sink):
    sent = klv_file(tmp_path / "drone.ts")
    sinks = ("--sink", tmp_path / "steady.ts", "--sink", tmp_path / "s.mkv", "--record-raw", tmp_path / "raw.ts")
    assert live(run, "--source", tmp_path / "drone.ts", *sinks, "--mode", "lossless").exit_code() == 0
    with av.open(str(tmp_path / sink)) as container:
        packets = [(packet.stream.type, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]
    received = [(pts, data) for kind, pts, data in packets if kind == "data"]
    first = min(pts for kind, pts, _ in packets if kind == "video")
    assert [data for _, data in received] == [data for _, data in sent]
    shift = received[0][0] - sent[0][0]
    assert [at - shift for at, _ in received] == [at for at, _ in sent]
    assert abs(received[0][0] - first) <= 3_600 * 3

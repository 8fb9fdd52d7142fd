"""How late a picture is that goes from a browser to Python and back: WebSocket with JPEG beside WebRTC with VP8.

    pip install aiohttp aiortc selenium simplejpeg; apt-get install chromium chromium-driver
    python tests/tools/browser_latency.py

A canvas shows a number in black and white blocks, 30 pictures a second. Each road takes the picture to this process,
where it is decoded and encoded again and nothing else is done to it, and back into the same page, which reads the
number and so knows how old the picture is. Both roads in turns, in headless Chromium, over loopback.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import tempfile

import simplejpeg
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from selenium import webdriver

FRAMES, ROUNDS = 300, 3
SIZES = ((640, 360), (1280, 720))

PAGE = """<!doctype html><canvas id=source></canvas><canvas id=back></canvas><script>
const BITS = 16, sent = new Map();
let number = 0, ages = [], width = 0, height = 0;
const source = document.getElementById('source'), back = document.getElementById('back');
function start(w, h) {
  [source.width, source.height] = [back.width, back.height] = [width, height] = [w, h];
  source.getContext('2d').fillRect(0, 0, w, h);
}
function show() {
  const pen = source.getContext('2d'), side = width / BITS;
  number = (number + 1) % (1 << BITS);
  // A scene that is neither flat nor still, so that codecs have something to do.
  for (let i = 0; i < 60; i++) {
    pen.fillStyle = `hsl(${Math.random() * 360} 60% 50%)`;
    pen.fillRect(Math.random() * width, side + Math.random() * height, width / 20, height / 20);
  }
  for (let bit = 0; bit < BITS; bit++) {
    pen.fillStyle = (number >> bit) & 1 ? '#fff' : '#000';
    pen.fillRect(bit * side, 0, side, side);
  }
  sent.set(number, performance.now());
}
function came(picture) {
  const now = performance.now(), pen = back.getContext('2d', { willReadFrequently: true }), side = width / BITS;
  pen.drawImage(picture, 0, 0, width, height);
  let seen = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const [red] = pen.getImageData((bit + 0.5) * side, side / 2, 1, 1).data;
    if (red > 127) seen |= 1 << bit;
  }
  if (sent.has(seen)) ages.push(now - sent.get(seen));
  sent.delete(seen);
}
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
async function socketRoad(w, h, frames) {
  start(w, h);
  ages = [];
  const socket = new WebSocket(`ws://${location.host}/socket`);
  await new Promise((done) => (socket.onopen = done));
  socket.onmessage = async ({ data }) => {
    const picture = await createImageBitmap(data);
    came(picture);
    picture.close();
  };
  const timer = setInterval(() => {
    show();
    source.toBlob((blob) => { if (socket.bufferedAmount === 0) socket.send(blob); }, 'image/jpeg', 0.85);
  }, 1000 / 30);
  while (ages.length < frames) await pause(50);
  clearInterval(timer);
  socket.close();
  return ages;
}
async function rtcRoad(w, h, frames) {
  start(w, h);
  ages = [];
  const peer = new RTCPeerConnection(), video = document.createElement('video');
  video.muted = true;
  for (const track of source.captureStream(30).getTracks()) peer.addTrack(track);
  peer.ontrack = ({ receiver, streams, track }) => {
    receiver.jitterBufferTarget = 0;
    receiver.playoutDelayHint = 0;
    video.srcObject = new MediaStream([track]);
    video.play();
  };
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== 'complete') await pause(20);
  const { sdp, type } = peer.localDescription;
  const answer = await fetch('/offer', { method: 'POST', body: JSON.stringify({ sdp, type }) });
  await peer.setRemoteDescription(await answer.json());
  const timer = setInterval(show, 1000 / 30);
  const next = () => video.requestVideoFrameCallback(() => { came(video); next(); });
  next();
  await pause(6000);  // until the rate control has settled
  ages = [];
  while (ages.length < frames) await pause(50);
  clearInterval(timer);
  peer.close();
  return ages;
}
</script>"""


async def echo(request: web.Request) -> web.WebSocketResponse:
    """JPEG to pixels and back to JPEG."""
    socket = web.WebSocketResponse(max_msg_size=8 << 20)
    await socket.prepare(request)
    async for message in socket:
        picture = simplejpeg.decode_jpeg(message.data)
        await socket.send_bytes(simplejpeg.encode_jpeg(picture, quality=85, colorsubsampling="420"))
    return socket


class Back(MediaStreamTrack):
    """What comes is decoded by aiortc, and encoded again on its way back."""

    kind = "video"

    def __init__(self, track: MediaStreamTrack) -> None:
        super().__init__()
        self._track = track

    async def recv(self) -> object:
        """The next picture."""
        return await self._track.recv()


async def offer(request: web.Request) -> web.Response:
    """Answer the browser, and send its own picture back."""
    wanted = await request.json()
    peer = RTCPeerConnection()
    request.app["peers"].append(peer)
    peer.on("track", lambda track: peer.addTrack(Back(track)))
    await peer.setRemoteDescription(RTCSessionDescription(**wanted))
    await peer.setLocalDescription(await peer.createAnswer())
    return web.json_response({"sdp": peer.localDescription.sdp, "type": peer.localDescription.type})


def measure(port: int) -> None:
    """Both roads in turns, in one browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    flags = (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "disable-sync",
    )
    for flag in (*flags, "disable-component-update", f"user-data-dir={tempfile.mkdtemp()}"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(180)
    try:
        for width, height in SIZES:
            for _ in range(ROUNDS):
                for name in ("socketRoad", "rtcRoad"):
                    driver.get(f"http://127.0.0.1:{port}/")
                    script = f"{name}({width}, {height}, {FRAMES}).then(arguments[0])"
                    ages = driver.execute_async_script(script)
                    cuts = statistics.quantiles(ages, n=20)
                    sys.stdout.write(f"{width}x{height} {name:10} p50 {cuts[9]:6.1f} ms  p95 {cuts[18]:6.1f} ms\n")
                    sys.stdout.flush()
    finally:
        driver.quit()


async def main() -> None:
    """Serve the page and measure."""
    app = web.Application()
    app["peers"] = []
    app.router.add_get("/", lambda _: asyncio.sleep(0, web.Response(text=PAGE, content_type="text/html")))
    app.router.add_get("/socket", echo)
    app.router.add_post("/offer", offer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await asyncio.to_thread(measure, runner.addresses[0][1])
    await asyncio.gather(*(peer.close() for peer in app["peers"]))
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())

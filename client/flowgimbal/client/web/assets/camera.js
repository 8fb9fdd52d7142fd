// This browser's camera, sent picture by picture as JPEG. Times are of performance.now().

const QUALITY = 0.85;
const WISH = { video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } }, audio: false };

export class Camera {
  #media = null;
  #socket = null;
  #video = document.createElement("video");
  #canvas = document.createElement("canvas");
  #running = true;

  // hears: {opened(streamId), ended(text)}
  constructor(settings, hears) {
    this.#start(settings, hears).catch((error) => {
      this.stop();
      hears.ended(said(error));
    });
  }

  stop() {
    this.#running = false;
    this.#media?.getTracks().forEach((track) => track.stop());
    if (this.#socket) {
      this.#socket.onclose = null;
      this.#socket.close();
    }
  }

  async #start(settings, hears) {
    if (!navigator.mediaDevices) {
      throw new Error("browsers lend their camera to pages of localhost or https alone");
    }
    this.#media = await navigator.mediaDevices.getUserMedia(WISH);
    if (!this.#running) return this.stop();
    this.#video.muted = true;
    this.#video.playsInline = true;
    this.#video.srcObject = this.#media;
    await this.#video.play();
    const url = new URL("camera", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify(settings));
    let farewell = "the connection was lost";
    socket.onmessage = ({ data }) => {
      const told = JSON.parse(data);
      if (told.error) farewell = told.error;
      if (told.stream_id) {
        hears.opened(told.stream_id);
        this.#next();
      }
    };
    socket.onclose = () => {
      this.stop();
      hears.ended(farewell);
    };
  }

  #next() {
    if (!this.#running) return;
    const video = this.#video;
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => this.#send());
    else setTimeout(() => this.#send(), 33);
  }

  async #send() {
    const taken = performance.now();
    this.#next();
    const socket = this.#socket;
    // What the network has not taken yet would only be late.
    if (socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > 0) return;
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!width) return;
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
    }
    this.#canvas.getContext("2d", { alpha: false }).drawImage(this.#video, 0, 0);
    const picture = await new Promise((done) => this.#canvas.toBlob(done, "image/jpeg", QUALITY));
    if (!picture || socket.readyState !== WebSocket.OPEN) return;
    const time = new ArrayBuffer(8);
    new DataView(time).setFloat64(0, taken);
    socket.send(new Blob([time, picture]));
  }
}

function said(error) {
  if (error.name === "NotAllowedError") return "the camera was not allowed";
  if (error.name === "NotFoundError") return "there is no camera";
  return error.message;
}

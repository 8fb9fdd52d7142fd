// The socket over which one stream is watched and tuned.

import { unpacked } from "./sight.js";

export class Watch {
  #socket;

  // hears: {sight(sight), info(info), refused(text), ended(text)}
  constructor(streamId, width, hears) {
    const url = new URL(`watch/${encodeURIComponent(streamId)}?width=${width}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let farewell = "the connection was lost";
    socket.onmessage = async ({ data }) => {
      if (typeof data === "string") {
        const said = JSON.parse(data);
        if (said.info) hears.info(said.info);
        if (said.error) hears.refused(said.error);
        if (said.ended) farewell = said.ended;
        return;
      }
      try {
        await hears.sight(unpacked(data));
      } finally {
        this.#say({ seen: 1 }); // only then does the next one come: a slow page gets fewer pictures, not older ones
      }
    };
    socket.onclose = () => hears.ended(farewell);
    this.#socket = socket;
  }

  tune(settings) {
    this.#say({ tune: settings });
  }

  close() {
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }

  #say(what) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(what));
  }
}

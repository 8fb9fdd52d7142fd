// The page: the list of streams, the one that is watched, and what is known of it.

import { Camera } from "./camera.js";
import { Chart } from "./chart.js";
import { selecting } from "./selection.js";
import { Settings } from "./settings.js";
import { Shake } from "./shake.js";
import { Watch } from "./watch.js";

const LIST_MS = 1000;
const FIGURES_MS = 250;

const $ = (id) => document.getElementById(id);
const shakeChart = new Chart(
  $("shake-chart"),
  [{ name: "raw", colour: "--raw" }, { name: "steady", colour: "--steady" }],
  2,
);
const latencyChart = new Chart($("latency-chart"), [{ name: "latency", colour: "--accent" }], 10);
const settings = new Settings((wishes) => watched?.watch.tune(wishes));

let watched = null; // {id, watch, shake, head, times, shownFigures}
let camera = null; // {sender, id}
let listedBefore = new Map(); // id -> {returned, at}

selecting($("raw"), $("selection"), ({ x, y, width, height }) => {
  const head = watched?.head;
  if (!head) return;
  settings.pin([
    Math.round(x * head.width),
    Math.round(y * head.height),
    Math.max(1, Math.round(width * head.width)),
    Math.max(1, Math.round(height * head.height)),
  ]);
});

$("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));

function startCamera() {
  const sender = new Camera(
    {},
    {
      opened(id) {
        camera.id = id;
        look(id);
      },
      ended(why) {
        stopCamera();
        notice(`Camera: ${why}.`, true);
      },
    },
  );
  camera = { sender, id: null };
  $("camera").setAttribute("aria-pressed", "true");
  $("camera").textContent = "Stop the camera";
  notice("Asking for the camera …");
}

function stopCamera() {
  camera?.sender.stop();
  camera = null;
  $("camera").setAttribute("aria-pressed", "false");
  $("camera").textContent = "Try your camera";
}

function look(id) {
  leave();
  const width = Math.min(1280, Math.ceil(($("raw").clientWidth * (window.devicePixelRatio || 1)) / 160) * 160);
  const one = { id, shake: new Shake(), head: null, times: [], shownFigures: 0 };
  one.watch = new Watch(id, width, {
    sight: (sight) => show(one, sight),
    info: (info) => settings.show(info.settings),
    refused: (why) => notice(`Refused: ${why}.`, true),
    ended(why) {
      if (watched !== one) return;
      leave();
      notice(`${capital(why)}.`);
    },
  });
  watched = one;
  shakeChart.clear();
  latencyChart.clear();
  notice("Waiting for pictures …");
}

function leave() {
  watched?.watch.close();
  watched = null;
  settings.show(null);
}

async function show(one, { head, raw, steady }) {
  const [rawPicture, steadyPicture] = await Promise.all([createImageBitmap(raw), createImageBitmap(steady)]);
  if (watched !== one) return;
  draw($("raw"), rawPicture);
  draw($("steady"), steadyPicture);
  if (!one.head) notice("");
  one.head = head;
  const now = performance.now();
  one.times = [...one.times.filter((at) => now - at < 2000), now];
  const shake = one.shake.add(head);
  shakeChart.add(shake ?? {});
  latencyChart.add({ latency: head.latency_ms });
  settings.show(head.info.settings);
  if (now - one.shownFigures > FIGURES_MS) {
    one.shownFigures = now;
    figures(one, now);
  }
}

function draw(canvas, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
  }
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

function figures(one, now) {
  const { head, times } = one;
  const recent = one.shake.recent;
  const pixels = (value) => `${value.toFixed(value < 10 ? 2 : 1)} px`;
  $("raw-shake").value = recent ? `shake ${pixels(recent.raw)}` : "";
  $("steady-shake").value = recent ? `shake ${pixels(recent.steady)}` : "";
  const gain = recent && recent.raw > 0.02 ? 20 * Math.log10(recent.raw / Math.max(recent.steady, 1e-3)) : null;
  $("gain").textContent = gain === null ? "–" : `${gain.toFixed(1)} dB`;
  const span = times.at(-1) - times[0];
  $("rate").textContent = span > 0 ? ((1000 * (times.length - 1)) / span).toFixed(1) : "–";
  $("latency").textContent = `${head.latency_ms.toFixed(1)} ms`;
  const mine = camera && camera.id === one.id;
  $("age").parentElement.hidden = !mine;
  if (mine) $("age").textContent = `${(now - head.time_ms).toFixed(0)} ms`;
  $("dropped").textContent = `${head.dropped} of ${head.received}`;
  $("size").textContent = `${head.width} × ${head.height} ${(head.encoding ?? "").toUpperCase()}`;
  $("engine").textContent = head.info.engine;
  $("shake-chart").setAttribute(
    "aria-label",
    recent ? `Shake: ${pixels(recent.raw)} as received, ${pixels(recent.steady)} steady` : "Shake over time",
  );
  $("latency-chart").setAttribute("aria-label", `Latency: ${head.latency_ms.toFixed(1)} milliseconds`);
}

async function list() {
  let streams;
  try {
    const answer = await fetch("streams");
    if (answer.status === 401) {
      location.assign("login"); // the page's server was started anew: it knows no cookie of before
      return;
    }
    streams = await answer.json();
  } catch {
    notice("The page's server does not answer; trying again.", true);
    return;
  }
  const at = performance.now();
  const rates = new Map();
  for (const { stream_id: id, returned } of streams) {
    const before = listedBefore.get(id);
    if (before) rates.set(id, Math.max(0, (1000 * (returned - before.returned)) / (at - before.at)));
  }
  listedBefore = new Map(streams.map(({ stream_id: id, returned }) => [id, { returned, at }]));
  const focused = document.activeElement?.dataset?.stream;
  $("streams").replaceChildren(...streams.map((stream) => entry(stream, rates.get(stream.stream_id))));
  if (focused) document.querySelector(`[data-stream="${focused}"]`)?.focus();
  if (!watched && streams.length && !camera) look(streams[0].stream_id);
  if (!watched && !streams.length && !camera) notice("No stream runs. Send one, or try your camera.");
}

function entry(stream, rate) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.stream = stream.stream_id;
  button.setAttribute("aria-current", String(watched?.id === stream.stream_id));
  const label = document.createElement("strong");
  label.textContent = camera?.id === stream.stream_id ? "your camera" : stream.label;
  const detail = document.createElement("small");
  const size = stream.width ? `${stream.width}×${stream.height}, ` : "";
  detail.textContent = `${size}${rate === undefined ? "…" : `${rate.toFixed(0)} fps`}, ${stream.dropped} dropped`;
  button.append(label, detail);
  button.addEventListener("click", () => look(stream.stream_id));
  item.append(button);
  return item;
}

function notice(text, bad = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("bad", bad);
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

settings.show(null);
list();
setInterval(list, LIST_MS);

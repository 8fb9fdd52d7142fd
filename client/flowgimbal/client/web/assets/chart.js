// A strip chart of the last seconds.

const SPAN_MS = 10_000;
const PAD = { left: 40, right: 8, top: 8, bottom: 8 };

export class Chart {
  #canvas;
  #series;
  #least;
  #points = [];
  #due = false;

  // series: [{name, colour}], colour a custom property of the style sheet; least: the smallest full scale.
  constructor(canvas, series, least) {
    this.#canvas = canvas;
    this.#series = series;
    this.#least = least;
    new ResizeObserver(() => this.#plan()).observe(canvas);
  }

  add(values) {
    const at = performance.now();
    this.#points.push({ at, values });
    while (this.#points.length && at - this.#points[0].at > SPAN_MS) this.#points.shift();
    this.#plan();
  }

  clear() {
    this.#points = [];
    this.#plan();
  }

  #plan() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const canvas = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const all = this.#points.flatMap((point) => this.#series.map((one) => point.values[one.name] ?? 0));
    const top = nice(Math.max(this.#least, ...all));
    const now = performance.now();
    const x = (at) => width - PAD.right - ((now - at) / SPAN_MS) * (width - PAD.left - PAD.right);
    const y = (value) => height - PAD.bottom - (value / top) * (height - PAD.top - PAD.bottom);

    context.font = "12px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of [0, top / 2, top]) {
      context.strokeStyle = style.getPropertyValue("--line");
      context.beginPath();
      context.moveTo(PAD.left, y(value));
      context.lineTo(width - PAD.right, y(value));
      context.stroke();
      context.fillStyle = style.getPropertyValue("--quiet");
      context.fillText(String(value), PAD.left - 6, y(value) + (value === 0 ? -4 : value === top ? 4 : 0));
    }
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    for (const { name, colour } of this.#series) {
      context.strokeStyle = style.getPropertyValue(colour);
      context.beginPath();
      let drawing = false;
      for (const { at, values } of this.#points) {
        if (values[name] == null) {
          drawing = false;
          continue;
        }
        if (drawing) context.lineTo(x(at), y(values[name]));
        else context.moveTo(x(at), y(values[name]));
        drawing = true;
      }
      context.stroke();
    }
  }
}

// The next of 1, 2, 5, 10, 20, ...
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

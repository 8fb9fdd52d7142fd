// The form: what is in force is shown, what somebody changes is asked for.

const SHOWN = {
  smoothing_strength: (value) => value.toFixed(2),
  look_ahead_frames: (value) => `${value} fr.`,
  max_crop_ratio: (value) => `${Math.round(value * 100)} %`,
};
const HELD_MS = 1500; // how long a control that was just moved does not follow the answers
const PAUSE_MS = 80;

export class Settings {
  #ask;
  #held = new Map();
  #wished = {};
  #timer = null;
  #pins = [];

  // ask(settings) sends a wish.
  constructor(ask) {
    this.#ask = ask;
    for (const name of Object.keys(SHOWN)) {
      const input = document.getElementById(name);
      input.addEventListener("input", () => {
        output(name).value = SHOWN[name](input.valueAsNumber);
        this.#wish(name, input.valueAsNumber);
      });
    }
    const policy = document.getElementById("crop_policy");
    policy.addEventListener("change", () => this.#wish("crop_policy", policy.value));
    document.getElementById("settings").addEventListener("submit", (event) => event.preventDefault());
    document.getElementById("pin-add").addEventListener("click", () => {
      const fields = ["x", "y", "width", "height"].map((name) => document.getElementById(`pin-${name}`));
      if (fields.every((field) => field.reportValidity())) this.pin(fields.map((field) => field.valueAsNumber));
    });
  }

  // Settings in force; null: there is no stream.
  show(settings) {
    document.getElementById("tuning").disabled = document.getElementById("pinning").disabled = !settings;
    if (!settings) return;
    const now = performance.now();
    for (const [name, value] of Object.entries(settings)) {
      if (name === "pins" || value == null || now - (this.#held.get(name) ?? -HELD_MS) < HELD_MS) continue;
      const input = document.getElementById(name);
      if (input.value !== String(value)) input.value = value;
      if (SHOWN[name]) output(name).value = SHOWN[name](value);
    }
    document.getElementById("settings").dataset.inForce = JSON.stringify(settings);
    this.#showPins(settings.pins ?? []);
  }

  pin(region) {
    this.#ask({ pins: [...this.#pins, region] });
  }

  #wish(name, value) {
    this.#held.set(name, performance.now());
    this.#wished[name] = value;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const wished = this.#wished;
      this.#wished = {};
      this.#ask(wished);
    }, PAUSE_MS);
  }

  #showPins(pins) {
    if (JSON.stringify(pins) === JSON.stringify(this.#pins)) return;
    this.#pins = pins;
    document.getElementById("pins").replaceChildren(
      ...pins.map((region, index) => {
        const [x, y, width, height] = region;
        const item = document.createElement("li");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.textContent = "Remove";
        remove.setAttribute("aria-label", `Remove the part at ${x}, ${y}`);
        remove.addEventListener("click", () => this.#ask({ pins: this.#pins.filter((_, other) => other !== index) }));
        item.append(`${width} × ${height} at ${x}, ${y}`, remove);
        return item;
      }),
    );
  }
}

function output(name) {
  return document.querySelector(`output[for="${name}"]`);
}

// How much the picture shakes, before and after: the change of its middle's motion from one frame to the next.
// A pan moves evenly and counts for nothing; pixels are those of the stream's own pictures.

import { moved } from "./sight.js";

const SPAN_MS = 1000;

export class Shake {
  #last = null;
  #recent = [];

  // Takes in a frame's head; returns {raw, steady} [pixels], or null where the motion is not known.
  add(head) {
    const last = this.#last;
    const middle = [(head.width - 1) / 2, (head.height - 1) / 2];
    let motion = null;
    const neighbours = last && head.frame_id === last.head.frame_id + 1 && head.width === last.head.width;
    if (neighbours && head.motion) {
      const [mx, my] = head.motion;
      const before = moved(last.head.transform, middle);
      const after = moved(head.transform, [middle[0] + mx, middle[1] + my]);
      motion = { raw: [mx, my], steady: [after[0] - before[0], after[1] - before[1]] };
    }
    this.#last = { head, motion };
    if (!motion || !last.motion) return null;
    const change = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
    const shake = { raw: change(motion.raw, last.motion.raw), steady: change(motion.steady, last.motion.steady) };
    this.#recent.push({ at: head.time_ms, ...shake });
    this.#recent = this.#recent.filter((one) => head.time_ms - one.at < SPAN_MS);
    return shake;
  }

  // Root mean squares over the last second [pixels]; null while there is nothing to say.
  get recent() {
    if (this.#recent.length < 5) return null;
    const rms = (name) => Math.sqrt(this.#recent.reduce((sum, one) => sum + one[name] ** 2, 0) / this.#recent.length);
    return { raw: rms("raw"), steady: rms("steady") };
  }
}

// Draws a rectangle on a canvas with mouse, pen or finger.

export function selecting(canvas, box, done) {
  let from = null;

  const within = (event) => {
    const area = canvas.getBoundingClientRect();
    const part = (at, low, length) => Math.min(1, Math.max(0, (at - low) / length));
    return [part(event.clientX, area.left, area.width), part(event.clientY, area.top, area.height)];
  };
  const rectangle = (to) => ({
    x: Math.min(from[0], to[0]),
    y: Math.min(from[1], to[1]),
    width: Math.abs(to[0] - from[0]),
    height: Math.abs(to[1] - from[1]),
  });

  canvas.addEventListener("pointerdown", (event) => {
    from = within(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!from) return;
    const { x, y, width, height } = rectangle(within(event));
    box.hidden = false;
    Object.assign(box.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${width * 100}%`, height: `${height * 100}%` });
  });
  const end = (event) => {
    if (!from) return;
    const found = rectangle(within(event));
    from = null;
    box.hidden = true;
    // A click, and what a finger does by chance, is no rectangle.
    if (event.type === "pointerup" && found.width > 0.01 && found.height > 0.01) done(found);
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
}

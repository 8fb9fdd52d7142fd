// One message of the page's server: what is known of a frame, and its two pictures.

export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const picture = (from, to) => new Blob([buffer.slice(from, to)], { type: "image/jpeg" });
  return {
    head,
    raw: picture(start, start + head.raw_bytes),
    steady: picture(start + head.raw_bytes, buffer.byteLength),
  };
}

// Where a homography (9 numbers, row by row) takes a point.
export function moved(matrix, [x, y]) {
  const w = matrix[6] * x + matrix[7] * y + matrix[8];
  return [
    (matrix[0] * x + matrix[1] * y + matrix[2]) / w,
    (matrix[3] * x + matrix[4] * y + matrix[5]) / w,
  ];
}

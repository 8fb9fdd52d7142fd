"""Make the clip that ships with flowgimbal: a steady scene, shaken along the recorded path of a hand-held camera.

    python tests/tools/make_bundled_clip.py SCENE PATH_FROM OUT

SCENE is a steady video (read through a window of 2/3 of its sides, so that the shake never meets a border), PATH_FROM
a shaky one of which only the camera's path is used: shifts, turns and zooms above a quarter of a hertz. The committed
clip is made of the two files that ``bundled.md`` names. Deterministic.
"""

from __future__ import annotations

import argparse
from fractions import Fraction

import av
import cv2
import numpy as np

from flowgimbal.client.sources import VideoSource
from flowgimbal.client.steadiness.bands import high_pass
from flowgimbal.client.steadiness.gray import shrink
from flowgimbal.client.steadiness.motion import Camera

SECONDS = 5
SIZE = (640, 360)
SLOWEST_HZ = 0.25
STRENGTH = 0.8
"""Of the recorded path: as much as fits between the window and the border of the scene."""
CRF = 18


def recorded_path(path: str, seconds: float) -> tuple[np.ndarray, float]:
    """Shift x, shift y [half widths], turn [rad] and log zoom of the camera over time: float64 (T, 4), and its rate."""
    camera = Camera()
    with VideoSource(path) as source:
        rate = float(source.format.rate)
        for count, picture in enumerate(source.luma()):
            camera.add(shrink(picture))
            if count > (seconds + 2) * rate:
                break
        aspect = source.format.height / source.format.width
    steps = [np.zeros(4)]
    for matrix in camera.steps:
        half = 320.0
        to_centre = np.array([[1 / half, 0, -1], [0, 1 / half, -aspect], [0, 0, 1]])
        step = to_centre @ matrix @ np.linalg.inv(to_centre)
        step = step / step[2, 2]
        zoom = 0.5 * np.log(max(1e-6, np.linalg.det(step[:2, :2])))
        turn = np.arctan2(step[1, 0] - step[0, 1], step[0, 0] + step[1, 1])
        steps.append(np.array([step[0, 2], step[1, 2], turn, zoom]))
    return np.cumsum(steps, 0), rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("path_from")
    parser.add_argument("out")
    args = parser.parse_args()
    path, path_rate = recorded_path(args.path_from, SECONDS)
    shake = STRENGTH * high_pass(path, path_rate, SLOWEST_HZ)
    with VideoSource(args.scene) as source, av.open(args.out, "w", options={"movflags": "+faststart"}) as out:
        rate = source.format.rate
        stream = out.add_stream(
            "libx264", rate=rate, options={"crf": str(CRF), "preset": "veryslow", "threads": "1", "bf": "3"}
        )
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number, (_, frame) in enumerate(source.frames()):
            if number >= SECONDS * rate:
                break
            moment = number / rate * Fraction(path_rate) + Fraction(path_rate)  # the first second is run-up
            x, y, turn, zoom = (np.interp(float(moment), np.arange(len(shake)), column) for column in shake.T)
            picture = av.VideoFrame.from_ndarray(shaken(frame.image, x, y, turn, zoom), format="bgr24")
            picture.pts = number
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))


def shaken(scene: np.ndarray, x: float, y: float, turn: float, zoom: float) -> np.ndarray:
    """The window of ``scene`` that a camera sees which has moved so; ValueError if it sees beyond the border."""
    height, width = scene.shape[:2]
    half = SIZE[0] / 2
    c, s = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
    # scene pixel -> window pixel: centred, turned and zoomed, shifted, and the window's centre put in its middle
    to_window = np.array([[c, -s, x * half + half], [s, c, y * half + SIZE[1] / 2], [0, 0, 1.0]])
    centred = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1.0]])
    matrix = to_window @ centred
    corners = np.array([[[0, 0], [SIZE[0], 0], [SIZE[0], SIZE[1]], [0, SIZE[1]]]], np.float64)
    seen = cv2.perspectiveTransform(corners, np.linalg.inv(matrix))[0]
    if seen.min() < 1 or seen[:, 0].max() > width - 1 or seen[:, 1].max() > height - 1:
        raise ValueError(f"the window leaves the scene: {seen.round().tolist()}; lower STRENGTH")
    return cv2.warpPerspective(scene, matrix, SIZE, flags=cv2.INTER_CUBIC)


if __name__ == "__main__":
    main()

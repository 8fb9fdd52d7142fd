"""``make quality``: run, measure, write the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from flowgimbal.client.cli.console import complain, say
from flowgimbal.client.errors import FlowgimbalError
from quality import clips, lossless, machine, synthetic
from quality.clips import Clip
from quality.column import Column, slug
from quality.errors import ColumnError, QualityError
from quality.figures import Figures
from quality.measure import Measure, measure_digest
from quality.page import Page
from quality.peers import described, peers
from quality.pictures import draw_paths, draw_stills
from quality.store import Store
from quality.untouched import Untouched
from quality.variants import OURS, ROOT

LIMIT = 150
"""Frames of a clip that are looked at."""

PHOTO = "brighton_DJI_0022"
"""What the made clips show; any other photo of the folder if it is not there."""

SHAKE = "shaky/nus_fountain"
"""Whose recorded path shakes the pan: a hand-held camera."""

STANDING = ("traffic_tripod", "intel_bottles")
"""Fixed cameras, of the folder of steady clips."""

Row = dict[str, Figures]


class Run:
    """One run: what is kept where, and who takes part."""

    def __init__(self, work: Path, columns: Sequence[Column]) -> None:
        self.work = work
        self.store = Store(measure_digest())
        self.columns = [column for column in columns if not column.missing()]

    def real(self, path: Path) -> Clip:
        """A lossless copy of a recorded clip."""
        identity = f"{LIMIT} ".encode() + path.read_bytes()
        return clips.prepare(self.work, path.stem, identity, partial(lossless.cut, path, limit=LIMIT))

    def made(self, name: str, photo: Path, shake: Path) -> Clip:
        """A clip made of a photo: ``pan`` or ``photo_noise``."""
        sources = (photo, shake, Path(synthetic.__file__))
        identity = name.encode() + b"".join(path.read_bytes() for path in sources)

        def make(target: Path) -> None:
            picture = cv2.imread(str(photo))
            if picture is None:
                raise QualityError(f"{photo}: not a picture")
            still = np.asarray(picture, np.uint8)
            if name == "pan":
                along = synthetic.trapezoid()
                shaken = synthetic.recorded_shake(shake, SHAKE, len(along))
                lossless.write(target, synthetic.RATE, synthetic.panned(still, along, shaken))
            else:
                lossless.write(target, synthetic.RATE, synthetic.standing(still, LIMIT))

        return clips.prepare(self.work, name, identity, make)

    def row(self, clip: Clip, said: str, standing: bool = False) -> Row:
        """The figures of every column on one clip."""
        measure = Measure(clip)
        take = measure.stood if standing else measure.compared
        figures: Row = {}
        for column in self.columns:
            if self.store.kept(clip, column) is None:
                say(f"{said} {clip.name}: {column.name}")
            figures[column.name] = self.store.figures(clip, column, take)
        return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="make quality", description=__doc__)
    parser.add_argument("--clips", type=Path, default=Path("../shared/data/shaky"), help="folder of shaky clips")
    parser.add_argument("--steady", type=Path, help="folder of steady clips (default: steady, beside the shaky ones)")
    parser.add_argument("--photos", type=Path, help="folder of photos (default: photos, beside the shaky ones)")
    parser.add_argument("--work", type=Path, default=ROOT / "build/quality", help="where results are kept")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/quality.md", help="the page to write")
    parser.add_argument("--peers-python", type=Path, default=Path("python3"), help="interpreter that has the peers")
    args = parser.parse_args()
    try:
        make(
            args.clips,
            args.steady or args.clips.parent / "steady",
            args.photos or args.clips.parent / "photos",
            args.work,
            args.page,
            args.peers_python,
        )
    except (QualityError, ColumnError, FlowgimbalError) as error:
        complain(f"make quality: {error}")
        return 1
    return 0


def make(folder: Path, steady: Path, photos: Path, work: Path, page: Path, peers_python: Path) -> None:
    """Everything, in order. What was done before is taken from ``work``."""
    found = clips.find(folder)
    columns: tuple[Column, ...] = (Untouched(), *OURS, *peers(peers_python))
    run = Run(work, columns)
    for column in columns:
        if column.missing():
            complain(f"{column.name} is left out: {column.missing()}")
    real = [run.real(path) for path in found]
    results = {clip.name: run.row(clip, f"[{number}/{len(real)}]") for number, clip in enumerate(real, 1)}
    pan, stillness = _known_answers(run, steady, photos)
    say("drawing")
    images = page.parent / "images/quality"
    images.mkdir(parents=True, exist_ok=True)
    shown = [OURS[0], OURS[2]]
    origins = clips.origins(folder.parent / "MANIFEST.tsv")
    paths = draw_paths(results, pan, shown, images)
    stills = draw_stills(real, origins, results, shown, run.store, images)
    told = Page(
        machine=machine.described(),
        peers=described(peers_python),
        limit=LIMIT,
        columns=columns,
        results=results,
        pan=pan,
        stillness=stillness,
        plots=[(name, f"images/quality/path-{slug(name)}.svg") for name in paths],
        stills=[(name, f"images/quality/{slug(name)}.jpg") for name in stills],
        origins=origins,
    )
    page.write_text(told.text(), "utf-8")
    say(f"wrote {page.name} and its pictures")


def _known_answers(run: Run, steady: Path, photos: Path) -> tuple[Row, dict[str, Row]]:
    """The pan, and the clips that stand; without photos or steady clips, as many of them as there are."""
    pan: Row = {}
    stillness: dict[str, Row] = {}
    photo = next(iter(sorted(photos.glob(f"{PHOTO}.*")) or sorted(photos.glob("*.jpg"))), None)
    shake = ROOT / "engines/paths/recorded.npz"
    if photo is None:
        complain(f"no pan and no still photo: there is no photo in {photos}")
    else:
        pan = run.row(run.made("pan", photo, shake), "[pan]")
        stillness["photo_noise"] = run.row(run.made("photo_noise", photo, shake), "[steady]", standing=True)
    for path in sorted(steady.iterdir()) if steady.is_dir() else ():
        if path.stem in STANDING:
            stillness[path.stem] = run.row(run.real(path), "[steady]", standing=True)
    return pan, stillness


if __name__ == "__main__":
    sys.exit(main())

"""A target under atheris, which looks for inputs that reach new code: ``python -m fuzz.guided --target=NAME``.

Options with one dash and folders are libFuzzer's; without any it goes on until it finds something. Needs the extra
``fuzz``.
"""

from __future__ import annotations

import argparse
import importlib
import sys

import atheris

TARGETS = ("decoder", "session")


def main() -> None:
    """Fuzz the target; does not return."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--target", choices=TARGETS, required=True)
    known, _ = parser.parse_known_args()
    with atheris.instrument_imports(include=["flowgimbal.server", "flowgimbal.engines"]):
        target = importlib.import_module(f"fuzz.{known.target}")
    # Every picture has 65,536 pixels at most: what takes ten seconds or 2 GiB is a fault. libFuzzer starts itself again
    # for some of its options (-merge=1), by this command line.
    again = f"{sys.executable} -m fuzz.guided"
    atheris.Setup([again, "-timeout=10", "-rss_limit_mb=2048", "-max_len=16384", *sys.argv[1:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

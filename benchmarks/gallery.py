"""A page of every study at its quick preset, with pictures at two widths where there is a Chromium.

python -m benchmarks.gallery [STUDY ...]
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ontogeny as og
from ontogeny.studies import all_studies

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
WIDTHS = (1280, 400)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def page_of(name: str, folder: Path) -> Path:
    """The page of one study, made anew."""
    finished = og.study(name, "quick", folder / name, executor=og.execution.Serial())
    GALLERY.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(finished.report, GALLERY / f"{name}.html"))


def pictures(page: Path) -> list[Path]:
    """Pictures of a page, as a browser shows it without a network; none without a browser."""
    found = []
    for width in WIDTHS if CHROMIUM else ():
        picture = page.with_name(f"{page.stem}-{width}.png")
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},3000"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000", f"--screenshot={picture}"),
        ]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=180)
        found.append(picture)
    return found


def main(names: list[str]) -> None:
    """Every study, or those named."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [study.name for study in all_studies()]:
            began = time.perf_counter()
            page = page_of(name, Path(folder))
            shots = len(pictures(page))
            sys.stdout.write(f"{page} ({time.perf_counter() - began:.0f} s, {shots} pictures)\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

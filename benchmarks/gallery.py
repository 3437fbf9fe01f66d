"""A page of every study at its quick preset for the gallery, with pictures where there is a Chromium.

python -m benchmarks.gallery [STUDY | FOLDER ...]

A FOLDER is that of a finished run, whose page is written again without computing.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ontogeny as og
from ontogeny.reports.rendering import plotly_script
from ontogeny.studies import all_studies, rewrite_report
from ontogeny.studies.pooling import read_identity

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
PLOTLY = "plotly.min.js"  # docs/site/hooks.py puts it beside the pages
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def shared(page: str) -> str:
    """A page that reads plotly.js from the file beside it, which all pages of the gallery share.

    Raises:
        ValueError: for a page that does not hold plotly.js of the plotly installed here.
    """
    inline, policy = f"<script>{plotly_script()}</script>", "script-src 'unsafe-inline'"
    if page.count(inline) != 1 or page.count(policy) != 1:
        raise ValueError("the page was not written by this version of ontogeny and plotly: write it again")
    return page.replace(inline, f'<script src="{PLOTLY}"></script>').replace(policy, f"{policy} 'self'")


def page_of(name: str, folder: Path) -> Path:
    """The page of one study, made anew, or of the finished run in a folder."""
    if Path(name).is_dir():
        report = rewrite_report(shutil.copytree(name, folder / Path(name).name))
    else:
        report = og.study(name, "quick", folder / name, executor=og.execution.Serial()).report
    identity = read_identity(report.parent)
    preset = identity["config"]["preset"]
    page = GALLERY / f"{identity['study']}{'' if preset == 'quick' else f'-{preset}'}.html"
    page.write_text(shared(report.read_text(encoding="utf-8")), encoding="utf-8")
    return page


def picture(page: Path) -> Path | None:
    """The head of a page as a small picture, as a browser shows it without a network; None without a browser."""
    if CHROMIUM is None:
        return None
    found, script = page.with_suffix(".png"), page.with_name(PLOTLY)
    script.write_text(plotly_script(), encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=0.5"),
        *("--window-size=1280,1000", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=8000"),
    ]
    try:
        subprocess.run([*command, f"--screenshot={found}", page.as_uri()], check=True, capture_output=True, timeout=180)
    finally:
        script.unlink()
    return found


def main(names: list[str]) -> None:
    """Every study, or those named."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names or [study.name for study in all_studies()]:
            began = time.perf_counter()
            page = page_of(name, Path(folder))
            seen = "with" if picture(page) else "without"
            sys.stdout.write(f"{page} ({time.perf_counter() - began:.0f} s, {seen} a picture)\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

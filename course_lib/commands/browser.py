"""Find a browser of the Chromium family on this computer. Standard library only."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "chrome",
    "msedge",
)
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "${PROGRAMFILES}/Google/Chrome/Application/chrome.exe",
    "${PROGRAMFILES(X86)}/Microsoft/Edge/Application/msedge.exe",
    "${PROGRAMFILES}/Microsoft/Edge/Application/msedge.exe",
)


def find_browser() -> str | None:
    """Return the path of a browser: `COURSE_BROWSER` if set, else the first one found, else None.

    Raises
    ------
    FileNotFoundError
        `COURSE_BROWSER` names a file that is not there.
    """
    chosen = os.environ.get("COURSE_BROWSER")
    if chosen:
        if shutil.which(chosen) is None:
            raise FileNotFoundError(f"COURSE_BROWSER is {chosen!r}, and there is no such program.")
        return shutil.which(chosen)
    for name in NAMES:
        if (path := shutil.which(name)) is not None:
            return path
    places = (Path(os.path.expandvars(place)) for place in PLACES)
    return next((str(place) for place in places if place.is_file()), None)

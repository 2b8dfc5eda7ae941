"""Take the pictures of the documentation: `python docs/pictures.py RUN` (needs selenium, and Chromium with chromedriver).

In: the run directory behind docs/output.txt. Out: docs/images/report.png, the first screen of its report.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
IMAGES = Path(__file__).parent / "images"


def main(run: Path) -> None:
    """Open the report and save what a person sees first."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.set_window_size(960, 860)
        browser.get((run / "report.html").resolve().as_uri())
        browser.save_screenshot(str(IMAGES / "report.png"))
    finally:
        browser.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

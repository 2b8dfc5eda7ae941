"""Take the pictures of the documentation (needs selenium, and Chromium with chromedriver).

    python docs/pictures.py RUN                            docs/images/report.png: the first screen of a report
    python docs/pictures.py --gallery DIGITS FLOWERS PAGE  docs/images/gallery-*.png

In: the run directory behind docs/output.txt; for the gallery that of `tl-advise demo`, one of photos of flowers, and the
folder of a comparison (docs/gallery.md says how they were made).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)
IMAGES = Path(__file__).parent / "images"
WIDTH, TALL = 960, 2400  # pixels; a section is drawn as far as the window reaches
SECTION = "//section[h2[contains(normalize-space(), '{}')]]"


def main(run: Path) -> None:
    """Open the report and save what a person sees first."""
    browser = opened(run / "report.html", 860)
    try:
        browser.save_screenshot(str(IMAGES / "report.png"))
    finally:
        browser.quit()


def gallery(digits: Path, flowers: Path, comparison: Path) -> None:
    """Save first screens and sections; no section with photos of flowers, whose authors are many."""
    for page, name, height, heading in (
        (digits / "report.html", "digits", 760, ""),
        (digits / "report.html", "digits-map", TALL, "Map of the images"),
        (flowers / "report.html", "flowers", 860, ""),
        (flowers / "report.html", "flowers-classes", TALL, "How it does on each class"),
        (comparison / "comparison.html", "comparison", 1000, ""),
    ):
        browser = opened(page, height)
        try:
            path = IMAGES / f"gallery-{name}.png"
            if heading:
                browser.find_element(By.XPATH, SECTION.format(heading)).screenshot(str(path))
            else:
                browser.save_screenshot(str(path))
        finally:
            browser.quit()
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(128).save(path, optimize=True)


def opened(page: Path, height: int) -> webdriver.Chrome:
    """Open a page in a browser window."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_window_size(WIDTH, height)
    browser.get(page.resolve().as_uri())
    return browser


if __name__ == "__main__":
    if sys.argv[1] == "--gallery":
        gallery(*(Path(argument) for argument in sys.argv[2:5]))
    else:
        main(Path(sys.argv[1]))

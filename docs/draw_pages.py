"""Draws docs/pages/*.png: a page of a sweep in a headless Chromium, light, dark, and on a phone.

python docs/draw_pages.py runs/temperatures-demo/page.html
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

OUT = Path(__file__).parent / "pages"
LOOKS = {"light": (1200, "light"), "dark": (1200, "dark"), "phone": (400, "light")}
"""Width in pixels and colour scheme."""
TALL = 3200
"""Pixels of a picture, at most."""


def draw(browser: Browser, path: Path, name: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": TALL}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(path.resolve().as_uri())
    page.wait_for_timeout(3000)  # until what is in view is drawn
    page.screenshot(path=OUT / f"{name}.png")
    page.close()


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, scheme) in LOOKS.items():
            draw(browser, Path(sys.argv[1]), name, width, scheme)
        browser.close()


if __name__ == "__main__":
    main()

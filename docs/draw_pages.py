"""Draws docs/pages/*.png: a page of a sweep in a headless Chromium, light, dark, on a phone, and its pictures.

python docs/draw_pages.py runs/temperatures-demo/page.html
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

OUT = Path(__file__).parent / "pages"
LOOKS = {"light": (1200, "light"), "dark": (1200, "dark"), "phone": (400, "light")}
"""Width in pixels and colour scheme."""
PICTURED = "light"
TALL = 2400
"""Pixels of a picture, at most."""


def draw(browser: Browser, path: Path, name: str, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": TALL}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(path.resolve().as_uri())
    page.wait_for_timeout(3000)  # until what is in view is drawn
    save(page.screenshot(), name)
    if name == PICTURED:
        save(page.locator("#pictures").screenshot(), "pictures")
    page.close()


def save(picture: bytes, name: str) -> None:
    """With 256 colours, a third of the size."""
    Image.open(io.BytesIO(picture)).convert("RGB").quantize().save(OUT / f"{name}.png", optimize=True)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (width, scheme) in LOOKS.items():
            draw(browser, Path(sys.argv[1]), name, width, scheme)
        browser.close()


if __name__ == "__main__":
    main()

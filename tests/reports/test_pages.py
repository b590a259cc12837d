"""Pages of sweeps: what they say against the ledger, what they escape, what they cannot show; and in a real browser."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from safetensors.numpy import save_file
from typer.testing import CliRunner

from harness.identity import write_identity
from harness.ledger import FILE_NAME, Record, line_of
from reports.importance import FEWEST, importances
from reports.leaderboard import Objective, leaderboard
from reports.page import app
from reports.pages import outcomes, parameters, rendering
from trainables.checksums import entry_of, sealed, sealed_line

METRIC = "validation/top1"
VIDEOS = {"train": 9, "validation": 4, "test": 4}
LACKING: tuple[tuple[str, dict[str, float]], ...] = (("kl", {}), ("margin", {"mine.margin": 0.5}))
CLASSES = ["run", "<b>walk</b>"]
HOSTILE = "</script><img src=x onerror=alert(1)> $x_1$ %{y} =1+1 | \\textbf"
Make = Callable[..., Record]


def trial(index: int, seed: int, reached: float | None, **changes: Any) -> Record:
    temperature, loss = 0.01 * 4 ** (index % 3), ("kl", "ce", "mse")[index // 3 % 3]
    values: dict[str, Any] = {
        "trial": f"trial{index:04}{seed}", "index": index, "row": f"row {index}" if index < 2 else None, "space": "mine",
        "preset": "demo", "parameters": {"auxskd.teacher_temperature": temperature, "mine.loss": loss},
        "settings": {}, "departures": {"finetune.epochs": 3, "auxskd.teacher_temperature": temperature},
        "data": {"downstream": {"dataset": "clips", "fingerprint": "abc", "classes": 2, **VIDEOS}},
        "seed": seed, "stages": {"finetune": f"key{index}", "evaluate": f"key{index}{seed}"},
        "metrics": {} if reached is None else {METRIC: reached, "test/top1": reached / 2},
        "history": {} if reached is None else {"finetune/loss": [2.0, 1.0 + seed], "finetune/val_top1": [0.1, reached]},
        "seconds": {"finetune": {"used": 30, "saved": 10}}, "outcome": "failed" if reached is None else "complete",
        "reason": "finetune: the loss is not finite" if reached is None else None, "ended": "2026-03-01T14:05:59.1+00:00",
        "versions": {"protocol": "1", "node": "box"}, "command": "python harness/sweep.py --space mine",
    }  # fmt: skip
    return Record.model_validate({**values, **changes})


def write_sweep(runs: Path, name: str, records: list[Record]) -> None:
    directory = runs / name
    directory.mkdir(parents=True)
    (directory / "histories").mkdir()
    (directory / FILE_NAME).write_bytes(b"".join(line_of(record) for record in records))
    write_identity(directory, {"objective": METRIC, "direction": "maximize", "ranges": {"mine.loss": "kl or ce"}})
    for record in records:
        if record.history:
            (directory / "histories" / f"{record.trial}.json").write_bytes(sealed_line(record.history))


@pytest.fixture
def nine() -> list[Record]:
    """Nine configurations of two seeds; configuration 4 is the best, 8 failed."""
    reached = [0.3, 0.35, 0.4, 0.5, 0.7, 0.6, 0.2, 0.25, None]
    return [trial(n, seed, value if value is None else value + seed / 50) for n, value in enumerate(reached) for seed in (0, 1)]


def make(runs: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["--runs-dir", str(runs), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def words(html: str) -> str:
    """What a reader reads, without scripts, styles and tags."""
    return re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style).*?</\1>", "", html))


def test_what_the_page_says_is_the_leaderboard(tmp_path: Path, nine: list[Record]) -> None:
    write_sweep(tmp_path, "mine", nine)
    assert make(tmp_path, "mine").splitlines() == [str(tmp_path / "mine/page.html"), str(tmp_path / "index.html")]
    html = (tmp_path / "mine/page.html").read_text()
    text = " ".join(words(html).split())
    assert "Best: teacher_temperature = 0.04, loss = ce" in text
    assert "9 configurations: 16 of 18 trials complete, 2 failed" in text
    assert "finetune: the loss is not finite" in text
    assert "python harness/sweep.py --space mine" in text
    assert "clips, fingerprint abc: 9 train, 4 validation, 4 test" in text
    assert re.findall(r"finetune.epochs\s+3", text), "a setting that departs from the preset"
    ranked = re.findall(r'<tr id="c-(\d+)"', html)
    assert ranked == ["4", "5", "3", "2", "1", "0", "7", "6", "8"], "the best first, what has no number last"
    assert len(re.findall(r'<tr id="t-', html)) == 18
    targets = set(re.findall(r'href="#([^"]+)"', html))
    assert targets <= set(re.findall(r' id="([^"]+)"', html)), "every link on the page leads somewhere"
    front = (tmp_path / "index.html").read_text()
    assert 'href="mine/page.html"' in front
    assert "71.0 [70.0 to 72.0]" in words(front)


def test_plots_hold_the_ledger_s_numbers(nine: list[Record]) -> None:
    board = leaderboard("mine", nine, Objective(METRIC))
    temperature, loss = parameters.responses(board)
    seeds, rows, means = temperature.variants[0].data
    complete = [record for record in nine if record.outcome == "complete"]
    told = sorted((record.parameters["auxskd.teacher_temperature"], 100 * record.metrics[METRIC]) for record in complete)
    assert np.array(sorted(zip(seeds["x"], seeds["y"], strict=True))) == pytest.approx(np.array(told))
    assert temperature.variants[0].layout["xaxis"]["type"] == "log"
    assert rows["customdata"] == ["c-1", "c-0"]
    assert dict(zip(means["x"], means["y"], strict=True))[0.01] == pytest.approx((31 + 51 + 21) / 3), "of 0, 3 and 6"
    assert loss.variants[0].layout["xaxis"]["type"] == "category"
    history = outcomes.history(board)
    assert history is not None
    assert history.variants[0].data[1]["y"] == pytest.approx([31, 36, 41, 51, 71, 71, 71, 71])
    pareto = outcomes.pareto(board)
    assert pareto is not None
    assert [variant.label for variant in pareto.variants] == ["hours of a trial, nothing shared"]
    costs = outcomes.costs(board)
    assert costs is not None
    assert [bar["x"] for bar in costs.variants[0].data] == [[18 * 30 / 60], [18 * 10 / 60]]


def test_a_parameter_that_some_lack_and_others_share_has_no_response() -> None:
    records = [trial(n, 0, 0.5, parameters={"mine.loss": loss, **more}) for n, (loss, more) in enumerate(LACKING)]
    board = leaderboard("mine", records, Objective(METRIC))
    assert [plot.title for plot in parameters.responses(board)] == ["Response to loss"]
    assert parameters.varied_parameters(board) == ["mine.loss", "mine.margin"]


def test_the_front_is_of_what_none_beats_in_both() -> None:
    prices = {0: (0.5, 100), 1: (0.4, 50), 2: (0.3, 70), 3: (0.6, 400)}
    records = [trial(n, 0, reached, seconds={"finetune": {"used": paid, "saved": 0}}) for n, (reached, paid) in prices.items()]
    pareto = outcomes.pareto(leaderboard("mine", records, Objective(METRIC)))
    assert pareto is not None
    assert pareto.variants[0].data[1]["y"] == pytest.approx([40, 50, 60])


def test_importance_finds_the_parameter_that_matters() -> None:
    """Of two drawn at random the objective follows one; the other way round the other. Too few say nothing."""
    rng = random.Random(0)
    drawn = [{"a": rng.uniform(0, 1), "b": rng.uniform(0, 1), "same": 1} for _ in range(60)]

    def found(name: str, count: int = 60) -> dict[str, float]:
        records = [trial(n, 0, of[name], parameters=of) for n, of in enumerate(drawn[:count])]
        return importances(leaderboard("mine", records, Objective(METRIC)))

    for name in ("a", "b"):
        assert next(iter(found(name))) == name
        assert found(name)[name] > 0.8
        assert set(found(name)) == {"a", "b"}
    assert found("a", FEWEST - 1) == {}


def with_parameters(record: Record, parameters: dict[str, Any]) -> Record:
    """The record with hostile text as its row and reason."""
    changed = {"row": HOSTILE, "reason": HOSTILE, "parameters": {**record.parameters, **parameters}}
    return record.model_copy(update=changed)


def test_text_from_elsewhere_is_shown_as_it_is(tmp_path: Path, nine: list[Record]) -> None:
    evil = [
        record.model_copy(
            update={
                "row": HOSTILE,
                "reason": HOSTILE,
                "parameters": {**record.parameters, "mine.loss": HOSTILE + str(record.index)},
            }
        )
        for record in nine
    ]
    write_sweep(tmp_path, "mine", evil)
    make(tmp_path, "mine")
    html = (tmp_path / "mine/page.html").read_text()
    assert "<img src=x" not in html
    assert html.count("</script>") == 3, "the plots' data, the packed library, and the page's own"
    assert HOSTILE in words(html).replace("&lt;", "<").replace("&gt;", ">")


@pytest.mark.parametrize("outcomes_of", [[], [None], [0.5]], ids=["empty ledger", "only failed", "one trial"])
def test_sweeps_with_little_to_say(tmp_path: Path, outcomes_of: list[float | None]) -> None:
    write_sweep(tmp_path, "mine", [trial(n, 0, reached) for n, reached in enumerate(outcomes_of)])
    make(tmp_path)
    text = words((tmp_path / "mine/page.html").read_text())
    assert ("No configuration has a number yet" in text) == (0.5 not in outcomes_of)


def test_unknown_sweeps_are_refused(tmp_path: Path, nine: list[Record]) -> None:
    write_sweep(tmp_path, "mine", nine)
    result = CliRunner().invoke(app, ["--runs-dir", str(tmp_path), "mime"])
    assert result.exit_code == 2
    assert "mine" in result.output


def test_a_damaged_ledger_costs_its_own_page_only(tmp_path: Path, nine: list[Record]) -> None:
    write_sweep(tmp_path, "good", nine)
    write_sweep(tmp_path, "bad", nine)
    path = tmp_path / "bad" / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"complete", b"completf", 1))
    result = CliRunner().invoke(app, ["--runs-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert (tmp_path / "good/page.html").exists()
    assert not (tmp_path / "bad/page.html").exists()
    assert "ledger.jsonl, line 1" in words((tmp_path / "index.html").read_text())


def publish(store: Path, kind: str, key: str, arrays: dict[str, np.ndarray], documents: dict[str, Any]) -> Path:
    """An artifact as a stage leaves it."""
    directory = store / kind / key
    directory.mkdir(parents=True)
    save_file(arrays, directory / "pictures.safetensors")
    for name, content in documents.items():
        (directory / name).write_text(json.dumps(content))
    files = {path.name: entry_of(path) for path in directory.iterdir()}
    (directory / "done.json").write_text(sealed({"metrics": {}, "seconds": 1, "files": files}))
    return directory


@pytest.fixture
def pictured(tmp_path: Path, nine: list[Record]) -> Path:
    """The nine, and what the best one's evaluation of two videos left: seed 0 took a walk for a run."""
    write_sweep(tmp_path, "mine", nine)
    frames = np.zeros((2, 4, 8, 8, 3), np.uint8)
    frames[0, :, :, :, 0] = 255
    videos = {
        "name": ["a.avi", "b.avi"], "label": [0, 1], "predicted": [0, 0], "score": [0.9, 0.8], "label_score": [0.9, 0.2],
    }  # fmt: skip
    for seed, counts in ((0, [[1, 0], [1, 0]]), (1, [[1, 0], [0, 1]])):
        publish(
            tmp_path / "store", "evaluate", f"key4{seed}",
            {"hardest": frames, "hardest_numbers": np.array([1, 0])},
            {"confusion.json": {"classes": CLASSES, "test": counts, "validation": counts},
             "videos.json": {"classes": CLASSES, "test": videos, "validation": videos}},
        )  # fmt: skip
    return tmp_path


def test_pictures_and_confusion_come_from_the_store(pictured: Path) -> None:
    make(pictured, "mine")
    html = (pictured / "mine/page.html").read_text()
    assert html.count("data:image/webp;base64,") == 2
    text = " ".join(words(html).split())
    assert "✗ &lt;b&gt;walk&lt;/b&gt;, 0.20; taken for run, 0.80" in text
    assert "✓ run, 0.90" in text
    data = json.loads(re.search(r'(?s)id="plots-data">(.*?)</script>', html).group(1))  # type: ignore[union-attr]
    assert data["confusion"][0]["data"][0]["z"] == [[100.0, 0.0], [50.0, 50.0]], "two seeds, in percent of the class"


@pytest.mark.parametrize("damage", ["gone", "damaged", "before"])
def test_what_the_store_cannot_show_is_said(pictured: Path, damage: str) -> None:
    directory = pictured / "store/evaluate/key40"
    if damage == "gone":
        shutil.rmtree(pictured / "store")
    elif damage == "damaged":
        path = directory / "pictures.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    else:
        content = json.loads((directory / "done.json").read_text())
        del content["digest"], content["files"]["pictures.safetensors"]
        (directory / "done.json").write_text(sealed(content))
    make(pictured, "mine")
    text = " ".join(words((pictured / "mine/page.html").read_text()).split())
    said = {
        "gone": "Not shown: evaluate/key40 is not in the store",
        "damaged": "Not shown: evaluate/key40/pictures.safetensors has other content than was written",
        "before": "Not shown: evaluate/key40 was made before there was pictures.safetensors",
    }
    assert said[damage] in text


def test_the_same_ledger_gives_the_same_bytes(pictured: Path) -> None:
    make(pictured, "mine")
    first = (pictured / "mine/page.html").read_bytes()
    make(pictured, "mine")
    assert (pictured / "mine/page.html").read_bytes() == first


def test_golden(searched: Path, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a sample ledger but for the library. Written anew by AUXGRAPH_GOLDEN=1."""
    monkeypatch.setattr(rendering, "_packed_plotly", lambda: "")
    make(searched, "sample-search", "--out", str(tmp_path))
    page = (tmp_path / "sample-search/page.html").read_text().replace(str(searched), "RUNS")
    path = golden / "sample-search_page.html"
    if os.environ.get("AUXGRAPH_GOLDEN"):
        path.write_text(page)
    assert page == path.read_text()


CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync")
LEAVES = re.compile(r"(?!file:|data:|blob:)")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file. At the end: nothing was said on the console, nothing failed, and no request left the file."""
    said: list[str] = []
    pages = []

    def open_page(path: Path, width: int = 1200, **options: Any) -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else said.append(request.url)
        )
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []


def column(page: Page, number: int) -> list[str]:
    cells = page.locator(f"#leaderboard tbody tr:visible > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


@in_a_browser
@pytest.mark.slow
def test_a_reader_sorts_filters_hovers_and_follows(pictured: Path, opened: Callable[..., Page]) -> None:
    make(pictured)
    page = opened(pictured / "mine/page.html")
    assert column(page, 1) == ["4", "5", "3", "2", "1", "0", "7", "6", "8"]
    heading = page.get_by_role("button", name="teacher_temperature")
    heading.press("Enter")
    values = list(map(float, column(page, 3)))
    assert values == sorted(values)
    heading.click()
    assert list(map(float, column(page, 3))) == sorted(values, reverse=True)
    page.locator('[data-filter="leaderboard"]').fill("CE 0.16")
    assert column(page, 1) == ["5"]
    page.locator('[data-filter="leaderboard"]').fill("nothing of this")
    assert page.get_by_text("Nothing has all of these words.").first.is_visible()

    plot = page.locator('[data-plot="response-0"]')
    plot.scroll_into_view_if_needed()
    point = plot.locator(".points path").first
    point.wait_for()
    point.hover(force=True)
    plot.locator(".hovertext").first.wait_for()
    assert "seed" in plot.locator(".hovertext").first.text_content()
    box = point.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("location.hash.startsWith('#t-')")

    curves = page.locator('[data-plot="curves"]')
    curves.scroll_into_view_if_needed()
    curves.get_by_text("finetune/loss").first.wait_for()
    page.locator('[data-variants="curves"]').select_option(label="finetune/val_top1")
    curves.get_by_text("finetune/val_top1 in %").first.wait_for()

    front = opened(pictured / "index.html")
    front.get_by_role("link", name="mine").click()
    front.wait_for_url("**/mine/page.html")


@in_a_browser
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction_and_text_has_contrast(
    pictured: Path, opened: Callable[..., Page], scheme: str
) -> None:
    make(pictured)
    for name in ("mine/page.html", "index.html"):
        page = opened(pictured / name, width=400, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        ground, ink = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
        assert contrast(ground, ink) > 7


def contrast(one: str, other: str) -> float:
    """WCAG 2: of two colours as `rgb(r, g, b)`."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@in_a_browser
@pytest.mark.slow
def test_text_from_elsewhere_runs_nothing(tmp_path: Path, nine: list[Record], opened: Callable[..., Page]) -> None:
    evil = [
        record.model_copy(update={"row": HOSTILE, "parameters": {**record.parameters, HOSTILE: record.index}})
        for record in nine
    ]
    write_sweep(tmp_path, "mine", evil)
    make(tmp_path)
    page = opened(tmp_path / "mine/page.html")
    for plot in page.locator("[data-plot]").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".main-svg").first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    assert "</script><img src=x onerror=alert(1)>" in page.locator('[data-plot="response-0"]').inner_text()


@in_a_browser
@pytest.mark.slow
def test_a_thousand_trials(tmp_path: Path, opened: Callable[..., Page]) -> None:
    rng = random.Random(1)
    drawn = [{"mine.rate": rng.random(), "mine.size": rng.randrange(9)} for _ in range(500)]
    records = [trial(n, seed, rng.random(), parameters=of) for n, of in enumerate(drawn) for seed in (0, 1)]
    write_sweep(tmp_path, "mine", records)
    make(tmp_path, "mine")
    assert (tmp_path / "mine/page.html").stat().st_size < 5e6
    page = opened(tmp_path / "mine/page.html")
    assert page.locator("#trials tbody tr").count() == 1000
    page.get_by_role("button", name="time").first.click()
    page.locator('[data-filter="trials"]').fill("trial0499")
    assert page.locator("#trials tbody tr:visible").count() == 2
    plot = page.locator('[data-plot="parallel"]')
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for()

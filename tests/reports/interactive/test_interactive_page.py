"""The figures in Chromium: every interaction by its effect, without an error or a request."""

import dataclasses
import time
from pathlib import Path

import pandas as pd
import pytest

from deepboot.bootstrap.results import Results
from deepboot.reports import compare
from deepboot.reports.interactive.page import interactive
from deepboot.reports.notebook import NotebookResults
from deepboot.reports.page.page import write_report
from tests.reports.conftest import synthetic
from tests.reports.interactive import chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed"),
]
EVIL = "<img src=x onerror=fail()> \\(y\\)"
HEAD = "<!doctype html><meta charset=utf-8><style>:root { color: rgb(28, 28, 28) }</style><title>Page</title>"
HELPERS = """
window.model = (name) => Bokeh.documents.map((one) => one.get_model_by_name(name)).find(Boolean);
window.column = (source, name) => [...model(source).data[name]];
window.lines = (kind, name) => {
  const kinds = column("curves lines", "what");
  return column("curves lines", name).filter((_, place) => kinds[place].startsWith(kind));
};
window.control = (name) => document.querySelector(`.interactive [name="${name}"]`);
window.key = (name) => document.querySelector(`.interactive [data-key="${name}"]`);
window.at = (name, x, y) => {
  const view = Bokeh.index.get_one(model(name)), box = view.el.getBoundingClientRect();
  return [box.left + view.frame.x_scale.compute(x), box.top + view.frame.y_scale.compute(y)];
};
window.texts = (node) => (node.shadowRoot ? texts(node.shadowRoot) : "") + (node.nodeType === 3 ? node.data + " " : "")
  + [...node.childNodes].filter((one) => one.nodeName !== "STYLE").map(texts).join("");
window.deep = (selector, node = document) => node.querySelector(selector)
  ?? [...node.querySelectorAll("*")].map((one) => one.shadowRoot && deep(selector, one.shadowRoot)).find(Boolean);
window.middle = (node) => {
  const box = node.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
window.settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)));
"""


def hostile() -> Results:
    """A sweep of two settings, one of which has a name with a tag and a formula."""
    results = synthetic(3, (250, 1000), decays=(0.1, 1.0), evaluations=30)
    runs = results.runs.assign(optimizer=results.runs["optimizer.weight_decay"].map({0.1: "adamw", 1.0: EVIL}))
    return dataclasses.replace(results, runs=runs.drop(columns="optimizer.weight_decay"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The figures of that sweep over a static one, open and drawn."""
    page = tmp_path_factory.mktemp("page") / "page.html"
    static = '<figure id="figure-test_error">The same as a drawing.</figure>'
    page.write_text(f"{HEAD}{interactive(compare(hostile()), numbers={'test_error': 1})}{static}")
    with chromium.Browser() as open_browser:
        open_browser.open(page)
        open_browser.until("document.querySelector('.interactive').dataset.ready")
        open_browser.value(HELPERS)
        yield open_browser
        assert open_browser.errors == []
        assert open_browser.requests == [page.as_uri()]


def scroll_to(browser: chromium.Browser, figure: str) -> None:
    browser.value(f"document.querySelector('[data-figure={figure}]').scrollIntoView({{block: 'center'}}); settled()")


def click(browser: chromium.Browser, spot: str) -> None:
    browser.mouse("mouseMoved", *browser.value(spot))
    browser.value("new Promise((done) => setTimeout(done, 500))")  # two clicks in less are a double click to Bokeh
    browser.click(*browser.value(spot))


def press(browser: chromium.Browser, element: str) -> None:
    """Click an element of the page, wherever it is."""
    browser.value(f"{element}.scrollIntoView({{block: 'center'}}); settled()")
    browser.click(*browser.value(f"middle({element})"))


def choose(browser: chromium.Browser, name: str, value: str) -> None:
    """Choose a value of a menu by the arrow keys."""
    browser.value(f"control('{name}').focus()")
    values = browser.value(f"[...control('{name}').options].map((one) => one.value)")
    steps = values.index(value) - values.index(browser.value(f"control('{name}').value"))
    for _ in range(abs(steps)):
        browser.key("ArrowDown" if steps > 0 else "ArrowUp")
    assert browser.value(f"control('{name}').value") == value


def saved(path: Path) -> str:
    """What a file holds, once the browser has written it."""
    end = time.monotonic() + chromium.WAIT_SECONDS
    while not path.is_file():
        assert time.monotonic() < end, f"{path.name} was not saved"
        time.sleep(0.02)
    return path.read_text()


def test_controls_change_what_is_drawn(browser):
    """Worlds and cells by the legend, the measure, its side, the unit of time, both scales, and the swept settings."""
    worlds = "[...new Set(lines('seed', 'world'))].sort().join()"
    assert browser.value(worlds) == "ideal,real"
    assert browser.value("lines('seed', 'what').length") == 4 * 3 + 2 * 3
    press(browser, "key('world ideal')")
    assert browser.value(worlds) == "real"
    assert browser.value("key('world ideal').ariaPressed") == "false"
    press(browser, "key('cell 0')")
    assert browser.value("new Set(lines('mean', 'cell')).size") == 3
    press(browser, "key('world ideal')")
    press(browser, "key('cell 0')")
    assert browser.value(f"{worlds} + lines('mean', 'what').join('')") == "ideal,real" + "mean of 3" * 6

    marks = "[...document.querySelectorAll('.interactive-mark')].map((one) => one.textContent)"
    chance = f"column('curves chance', 'y').join() + {marks}.find((one) => one === 'chance')"
    assert browser.value(chance) == "0.5chance"
    label = "model('curves {0} linear').axis_label + '|' + model('curves {0} log').axis_label"
    choose(browser, "measure", "loss")
    assert browser.value(label.format("y")) == "test loss|test loss"
    assert browser.value(chance) == "undefined"
    choose(browser, "side", "train")
    assert "train" in browser.value(label.format("y"))
    choose(browser, "measure", "error")
    choose(browser, "side", "test")
    last = "Math.max(...lines('seed', 'xs').flat().filter(Number.isFinite))"
    assert browser.value(last) == 4000
    choose(browser, "time", "samples")
    assert browser.value(last) == 400_000
    assert browser.value(label.format("x")).startswith("samples seen")
    choose(browser, "time", "seconds")
    assert browser.value(last) == pytest.approx(1.5)
    choose(browser, "time", "step")

    assert browser.value("model('curves').x_scale.type + model('curves x log').visible") == "LogScaletrue"
    press(browser, "control('log_x')")
    press(browser, "control('log_y')")
    assert browser.value("model('curves').x_scale.type + model('curves').y_scale.type") == "LinearScaleLogScale"
    assert browser.value("[model('curves x log').visible, model('curves y log').visible].join()") == "false,true"
    assert browser.value("model('curves').x_range.start <= 0 && model('curves').y_range.start > 0")
    press(browser, "control('log_x')")
    press(browser, "control('log_y')")

    choose(browser, "setting 1", "250")
    assert browser.value("lines('seed', 'cell').filter((one) => one.includes('1,000')).length") == 0
    choose(browser, "setting 1", "")
    assert browser.value("lines('seed', 'what').length") == 4 * 3 + 2 * 3


def test_bootstrap_error_is_real_minus_ideal(browser):
    """One line per pair, zero before anything is reused, signed."""
    choose(browser, "view", "bootstrap_error")
    assert browser.value("lines('seed', 'world').every((world) => world === 'real')")
    assert browser.value("lines('seed', 'ys').every((ys) => ys[1] === 0)")
    assert browser.value("Math.max(...lines('seed', 'ys').flat().filter(Number.isFinite))") > 0.4
    assert "minus ideal" in browser.value("model('curves y linear').axis_label")
    choose(browser, "view", "worlds")


def test_the_mouse_finds_zooms_and_picks(browser):
    """A tooltip names the run, a drag zooms, a tool resets, and a click on the map picks a cell and frees it."""
    scroll_to(browser, "curves")
    browser.mouse("mouseMoved", *browser.value("at('curves', 30, 0.5)"))
    tip = browser.until("(texts(document.body).match(/seed \\d[\\s\\S]*value[\\s\\S]{20}/) ?? [''])[0]")
    for word in ("world", "real", "cell", "train_size", "value:"):
        assert word in tip
    browser.mouse("mouseMoved", 2, 2)

    span = "model('curves').x_range.end / model('curves').x_range.start"
    before = browser.value(span)
    start, end = browser.value("[at('curves', 100, 0.4), at('curves', 1000, 0.1)]")
    browser.mouse("mouseMoved", *start)
    browser.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
    for share in (0.3, 0.6, 1.0):
        x, y = (one + share * (other - one) for one, other in zip(start, end, strict=True))
        browser.mouse("mouseMoved", x, y, button="left", buttons=1)
    browser.mouse("mouseReleased", *end, button="left", clickCount=1)
    assert browser.until(f"Math.abs({span} - 10) < 0.5")
    browser.until("Boolean(deep('.bk-tool-icon-reset', document.querySelector('[data-figure=curves]')))")
    click(browser, "middle(deep('.bk-tool-icon-reset', document.querySelector('[data-figure=curves]')))")
    assert browser.until(f"Math.abs({span} - {before}) < 1e-6 * {before}")

    choose(browser, "form", "map")
    scroll_to(browser, "map")
    spot = "at('map', model('map').x_range.factors[0], '1,000')"
    assert browser.value("model('map').x_range.factors[0]").startswith("<img")
    for chosen, cells in (("1,000", 1), ("", 4)):
        click(browser, spot)
        browser.until(f"control('setting 1').value === '{chosen}'")
        reals = "lines('mean', 'world').filter((world) => world === 'real').length"
        assert browser.value(reals) == cells
    layers = browser.value("[...control('layer').options].map((one) => one.text)")
    assert layers[0] == "grokking step"
    choose(browser, "layer", str(layers.index("share of runs that grokked")))
    choose(browser, "map_world", "ideal")
    note = browser.value("document.querySelector('[data-note=effect]').textContent")
    assert note == "Click a square to see its curves below, and again to see all."
    assert browser.value("column('map cells', 'value').join()") == "1,1,1,1"
    assert browser.value("column('map cells', 'label').join()") == "1,1,1,1"
    choose(browser, "form", "effect")


def test_print_dark_mode_and_narrow_pages(browser):
    """Static figures lie under the others on a screen and return in print; ink follows the page; nothing is wider."""
    sizes = "[...document.querySelectorAll('.interactive, #figure-test_error')].map((one) => one.offsetWidth)"
    shown, under = browser.value(sizes)
    assert shown > 300
    assert under == 1
    browser.command("Emulation.setEmulatedMedia", media="print")
    shown, under = browser.value(sizes)
    assert shown == 0
    assert under > 300
    browser.command("Emulation.setEmulatedMedia", media="")

    color = "model('curves x log').major_label_text_color"
    assert browser.value(color) == "rgb(28,28,28)"
    browser.value("document.querySelector('.interactive').style.color = 'rgb(240, 240, 240)'")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.command("Emulation.setEmulatedMedia", features=[dark])
    assert browser.until(f"{color} === 'rgb(240,240,240)'")

    browser.resize(390, 800)
    browser.value("settled()")
    assert browser.value("Bokeh.index.get_one(model('curves')).el.offsetWidth") <= 390
    wide = "(one) => one.getBoundingClientRect().right > 391"
    every = "[...document.querySelectorAll('.interactive, .interactive *')]"
    assert browser.value(f"{every}.filter({wide}).map((one) => one.className).join()") == ""


def test_one_swept_setting_has_labelled_ticks_around_every_cell_and_names_its_marks(tmp_path):
    """Below the lowest cell and above the highest one; a world a mark, and no word on marks that are not drawn."""
    page = tmp_path / "page.html"
    results = synthetic(6, (2000, 4000), evaluations=60)
    page.write_text(f"{HEAD}{interactive(compare(results))}")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("document.querySelector('.interactive').dataset.ready")
        browser.value(HELPERS)
        layers = browser.value("[...control('layer').options].map((one) => one.text)")
        choose(browser, "layer", str(layers.index("grokking step")))
        axis = "Bokeh.index.get_one(model('effect y log'))"
        ticks = browser.value(f"[...{axis}.tick_coords.major[1]]")
        values = browser.value("[...column('effect cells', 'low'), ...column('effect cells', 'high')]")
        labels = browser.value(f"{axis}.compute_labels({axis}.tick_coords.major[1]).items.map((one) => one.text)")
        assert len(ticks) == len(labels) >= 3
        assert min(ticks) <= min(values) < max(values) <= max(ticks)
        assert all(label.replace(",", "").isdigit() for label in labels)
        marks = browser.value("document.querySelector('.interactive-marks').textContent")
        assert marks == "● real world◆ ideal world· one run"
        note = browser.value("document.querySelector('[data-note=effect]').textContent")
        assert note == "Bars are 95 % intervals. Click a mark to see its curves below, and again to see all."


def test_the_report_holds_the_figures(tmp_path):
    """They draw there too, without an error or a request; buttons copy, save figures and tables, and show p values."""
    claims = [{"kind": "faster", "min_ratio": 1.0}]
    page = write_report(synthetic(2, evaluations=12, claims=claims), tmp_path / "report.html")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("document.querySelector('.interactive').dataset.ready")
        browser.value(HELPERS)
        under = "[...document.querySelectorAll('.under-interactive')].map((one) => one.id).join()"
        assert browser.until(under) == "figure-test_error,figure-test_soft_error"
        browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.value("window.table = document.querySelector('a[download=\"Grokking delay.csv\"]')")
        browser.value("table.closest('details').open = true")
        press(browser, "table")
        rows = saved(tmp_path / "Grokking delay.csv").splitlines()
        assert [row.split(",")[0] for row in rows] == ["cell", "ideal", "real"]
        browser.value("navigator.clipboard.writeText = (text) => { window.copied = text; }")
        browser.value("HTMLAnchorElement.prototype.click = function () { window.saved = this; }")
        browser.value("document.querySelector('[data-copy]').click()")
        assert browser.value("copied") == "deepboot run parity.toml"
        browser.value("document.querySelector('[data-svg]').click()")
        assert browser.value("saved.download") == "test_error.svg"
        assert browser.value("fetch(saved.href).then((file) => file.text())").startswith("<svg")
        column = "getComputedStyle(document.querySelector('td.p')).display"
        assert browser.value(column) == "none"
        browser.value("document.querySelector('.switch input').click()")
        assert browser.value(column) == "table-cell"
        assert browser.errors == []
        assert browser.requests == [page.as_uri()]


def test_a_notebooks_frame_holds_the_figures(tmp_path):
    """The output of a cell, put into any page, draws by itself what was asked for."""
    results = synthetic(2, (250, 1000), evaluations=12)
    opened = NotebookResults(**{field.name: getattr(results, field.name) for field in dataclasses.fields(results)})
    page = tmp_path / "notebook.html"
    with chromium.Browser() as browser:
        for plot, view in ((opened.plot.effect, "worlds"), (opened.plot.bootstrap_error, "bootstrap_error")):
            page.write_text(f"<!doctype html><meta charset=utf-8>{plot()._repr_html_()}")
            browser.open(page)
            frame = "document.querySelector('iframe').contentDocument"
            browser.until(f"{frame}.querySelector('.interactive').dataset.ready")
            assert browser.value(f"{frame}.querySelector('[name=view]').value") == view
            assert browser.value(f"{frame}.querySelector('.interactive-effect').hidden") == (view != "worlds")
        assert browser.errors == []
        assert set(browser.requests) == {page.as_uri()}


def three_swept_settings() -> Results:
    """Two decays, two pools and two widths."""
    parts = []
    for width in (64, 128):
        part = synthetic(2, (250, 1000), decays=(0.1, 1.0), evaluations=20)
        runs = part.runs.assign(**{"model.width": width})
        names = {name: f"{width}-" + runs[name] for name in ("run_id", "ideal_run_id", "cell_id")}
        evaluations = part.evaluations.assign(run_id=f"{width}-" + part.evaluations["run_id"])
        parts.append(dataclasses.replace(part, runs=runs.assign(**names), evaluations=evaluations))
    tables = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in ("runs", "evaluations")
    }
    return dataclasses.replace(parts[0], **tables)


def test_the_third_swept_setting_has_a_panel_for_each_value(tmp_path):
    """Of the plot and of the map, on the same axes and colours, each with its own cells; a click picks all three."""
    page = tmp_path / "page.html"
    page.write_text(f"{HEAD}{interactive(compare(three_swept_settings()))}")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("document.querySelector('.interactive').dataset.ready")
        browser.value(HELPERS)
        settings = browser.value(
            "[...document.querySelectorAll('.interactive-settings label')].map((one) => one.firstChild.data.trim())"
        )
        third = browser.value("[...document.querySelectorAll('[data-form=effect] b')].map((one) => one.textContent)")
        name = settings[2]
        values = [words.removeprefix(f"{name} ") for words in third]
        assert len(values) == 2
        assert third == [f"{name} {value}" for value in values]
        for place, value in enumerate(values):
            plot = f"effect{f'-{place}' if place else ''}"
            cells = browser.value(f"[...new Set(column('{plot} cells', 'cell'))]")
            assert len(cells) == 4
            assert all(value in cell for cell in cells)
        ends = "['effect', 'effect-1'].map((name) => [model(name).y_range.start, model(name).y_range.end].join())"
        one, other = browser.value(ends)
        assert one == other

        choose(browser, "form", "map")
        layers = browser.value("[...control('layer').options].map((one) => one.text)")
        choose(browser, "layer", str(next(place for place, words in enumerate(layers) if words.startswith("final"))))
        squares = browser.value(
            "['map', 'map-1'].map((name) => column(`${name} cells`, 'value').filter(Number.isFinite).length)"
        )
        assert squares == [4, 4]
        one, other = browser.value(
            "['map', 'map-1'].map((name) => [model(`${name} colors`).low, model(`${name} colors`).high].join())"
        )
        assert one == other
        scroll_to(browser, "map-1")
        click(browser, "at('map-1', model('map-1').x_range.factors[0], model('map-1').y_range.factors[1])")
        browser.until(f"control('setting 2').value === '{values[1]}'")
        assert browser.value("control('setting 0').value") == browser.value("model('map-1').x_range.factors[0]")
        assert browser.value("control('setting 1').value") == browser.value("model('map-1').y_range.factors[1]")
        browser.resize(390, 800)
        browser.value("settled()")
        wide = "(one) => one.getBoundingClientRect().right > 391"
        every = "[...document.querySelectorAll('.interactive, .interactive *')]"
        assert browser.value(f"{every}.filter({wide}).map((one) => one.className).join()") == ""
        assert browser.errors == []

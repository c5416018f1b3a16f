"""A whole report in Chromium: what its interactive figures cover, and every way to move in them."""

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.figures.effect import draw_effects
from deepboot.reports.figures.maps import draw_phase_map
from deepboot.reports.figures.worlds import draw_worlds
from deepboot.reports.measures.events import event_times
from deepboot.reports.page.page import write_report
from tests.reports.conftest import synthetic
from tests.reports.interactive import chromium
from tests.reports.interactive.test_interactive_page import HELPERS, choose, click, press, saved, scroll_to

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed"),
]
CLAIMS = [{"kind": "bootstrap_error", "max": 0.9, "at": "end", "metric": "test_error"}, {"kind": "faster"}]
CLAIMS[1]["min_ratio"] = 1.0
PLAIN = "textContent.replaceAll('\\u00a0', ' ')"
NOTE = f"document.querySelector('.interactive-note[aria-live]').{PLAIN}"
SPAN = "[model('curves').x_range.start, model('curves').x_range.end]"


@pytest.fixture(scope="module")
def results():
    """A sweep of one setting, of which all cells grok."""
    return synthetic(3, (1000, 2000), evaluations=30, claims=CLAIMS)


@pytest.fixture(scope="module")
def browser(results, tmp_path_factory):
    """Its report, open and drawn."""
    page = write_report(results, tmp_path_factory.mktemp("report") / "report.html")
    with chromium.Browser() as open_browser:
        open_browser.open(page)
        open_browser.until("document.querySelector('.interactive').dataset.ready")
        open_browser.until("Boolean(document.querySelector('.under-interactive'))")
        open_browser.value(HELPERS)
        yield open_browser
        assert open_browser.errors == []
        assert open_browser.requests == [page.as_uri()]


@pytest.fixture(autouse=True)
def whole(request):
    """The usual window in light colours, all that there is shown, after every test that has the browser."""
    yield
    if "browser" in request.fixturenames:
        open_browser = request.getfixturevalue("browser")
        open_browser.command("Emulation.setEmulatedMedia", features=[])
        open_browser.resize(1280, 900)
        open_browser.value("document.querySelector('form.interactive-controls').reset()")
        open_browser.value("control('measure').dispatchEvent(new Event('change', {bubbles: true})); settled()")


@pytest.fixture
def only_covered(monkeypatch):
    """Reports have those static figures alone that lie under interactive ones."""

    def drawings(comparison, axis):
        curves = (draw_worlds(comparison, name, event_times(comparison)) for name in ("test_error", "test_soft_error"))
        return [one for one in (*draw_effects(comparison), draw_phase_map(comparison), *curves) if one]

    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawings)


def wheel(browser, spot, delta):
    browser.mouse("mouseMoved", *spot)
    browser.mouse("mouseWheel", *spot, deltaX=0, deltaY=delta)


def take_up(browser, tool):
    """Press a tool of the curves' toolbar."""
    icon = f"deep('.bk-tool-icon-{tool}', document.querySelector('[data-figure=curves]'))"
    browser.until(f"Boolean({icon})")
    click(browser, f"middle({icon})")


def test_every_interactive_figure_covers_its_static_ones_and_shares_their_numbers(browser):
    """Each number is seen once, in the order of the page, and the menu names them."""
    covered = browser.value(
        "[...document.querySelectorAll('figure.under-interactive')].map((one) => one.id.slice(7)).sort()"
    )
    effects = ["effect_bootstrap_error", "effect_final_error", "effect_grokking"]
    assert covered == [*effects, "test_error", "test_soft_error"]
    numbers = browser.value(
        "[...document.querySelectorAll('figcaption b')].map((one) => Number(one.textContent.match(/\\d+/)))"
    )
    assert numbers == list(range(1, len(numbers) + 1))
    heads = browser.value("[...document.querySelectorAll('.interactive-note > b')].map((one) => one.textContent)")
    assert heads == ["Figures 1 to 3,", "Figure 1.", "Figures 4 and 5,", "Figure 4."]
    layers = browser.value("[...control('layer').options].map((one) => one.text)")
    assert layers[0] == "Figure 1: bootstrap error at the last common step (test error)"
    assert [layer.split(":")[0] for layer in layers if layer.startswith("Figure ")] == [
        "Figure 1", "Figure 1", "Figure 2", "Figure 3"]  # fmt: skip


def test_a_link_to_a_covered_figure_leads_to_its_interactive_form(browser):
    """A claim's evidence may be in a figure that lies under another one."""
    browser.value("Object.assign(document.querySelector('main').appendChild(document.createElement('a')),"
                  " {id: 'to', href: '#figure-effect_final_error', textContent: 'to'}); scrollTo(0, 1e6)")  # fmt: skip
    browser.value("document.querySelector('#to').click(); settled()")
    assert browser.value("control('layer').selectedOptions[0].text").endswith(": final test error")
    assert browser.value("Math.abs(document.querySelector('.interactive-effect').getBoundingClientRect().top) < 120")
    browser.value("document.querySelector('#to').href = '#figure-test_soft_error'")
    browser.value("document.querySelector('#to').click(); settled()")
    assert browser.value(NOTE).startswith("Figure 5. ")


def test_the_curves_are_saved_as_they_are_drawn(browser, results, tmp_path):
    """From the interactive figure's own caption: every value of every run once, with the cell, world and seed."""
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    choose(browser, "measure", "soft_error")
    press(browser, "[...document.querySelectorAll('.interactive-note[aria-live] button')][1]")
    rows = list(csv.reader(io.StringIO(saved(tmp_path / "test_soft_error.csv"))))
    assert rows[0] == ["cell", "world", "seed", "step", "test_soft_error"]
    curves = compare(results).curves()
    assert len(rows) - 1 == len(curves)
    values = sorted(float(row[-1]) for row in rows[1:])
    assert np.allclose(values, sorted(curves["test_soft_error"]), rtol=1e-3)
    assert {row[1] for row in rows[1:]} == {"real", "ideal"}


def test_single_runs_are_those_of_the_table(browser, results):
    """Every pair at its own value, under the cells' means."""
    choose(browser, "layer", "0")
    gaps = compare(results).pairs_at("end", "test_error")["bootstrap_error"]
    assert sorted(browser.value("column('effect runs', 'y')")) == pytest.approx(sorted(gaps), abs=1e-3)
    assert browser.value("column('effect zero', 'y').join()") == "0"


def test_the_soft_error_is_a_switch_of_the_measure(browser, results):
    """The curves are those of its column, the axis and the caption say so."""
    choose(browser, "measure", "soft_error")
    assert browser.value("model('curves y linear').axis_label") == "test soft error"
    assert browser.value(NOTE).startswith("Figure 5. ")
    first = results.evaluations[results.evaluations["run_id"] == results.runs["run_id"].iloc[0]]
    drawn = browser.value("lines('seed', 'ys')")
    assert any(np.allclose(line, first["test_soft_error"], atol=1e-3) for line in drawn)


def test_wheel_pan_and_keys_move_the_curves(browser):
    """The wheel zooms about the pointer once its tool is taken up, a drag moves, and keys do both without a mouse."""
    scroll_to(browser, "curves")
    before = browser.value(SPAN)
    take_up(browser, "wheel-zoom")
    wheel(browser, browser.value("at('curves', 100, 0.3)"), -240)
    start, end = browser.until(f"({SPAN}[1] !== {before[1]}) && {SPAN}")
    assert end / start < before[1] / before[0]
    assert start < 100 < end

    take_up(browser, "pan")
    (x, y), (to_x, to_y) = browser.value("[at('curves', 100, 0.3), at('curves', 200, 0.3)]")
    browser.mouse("mouseMoved", x, y)
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    for share in (0.5, 1.0):
        browser.mouse("mouseMoved", x + share * (to_x - x), to_y, button="left", buttons=1)
    browser.mouse("mouseReleased", to_x, to_y, button="left", clickCount=1)
    moved = browser.until(f"({SPAN}[1] !== {end}) && {SPAN}")
    assert moved[1] / end == pytest.approx(0.5, rel=0.1)
    assert moved[1] / moved[0] == pytest.approx(end / start, rel=1e-6)

    browser.value("document.querySelector('[data-figure=curves]').focus()")
    browser.key("0")
    assert browser.until(f"({SPAN}[1] !== {moved[1]}) && {SPAN}") == before
    ratio = before[1] / before[0]
    for key, change, place in (("+", ratio**0.8, 0.5), ("-", ratio, 0.5), ("ArrowRight", ratio, 0.6)):
        browser.key(key)
        start, end = browser.value(SPAN)
        assert end / start == pytest.approx(change, rel=1e-6)
        assert (start * end) ** 0.5 == pytest.approx(before[0] * ratio**place, rel=1e-6)
    browser.key("0")


def test_the_mouse_finds_and_picks_a_mark_of_the_effect_plot(browser):
    """A tooltip names cell, world and number; a click shows the cell's curves alone, and a second one all."""
    choose(browser, "layer", "0")
    scroll_to(browser, "effect")
    x, y = browser.value("[column('effect cells', 'x')[0], column('effect cells', 'y')[0]]")
    browser.mouse("mouseMoved", *browser.value(f"at('effect', {x}, {y})"))
    tip = browser.until("(texts(document.body).match(/cell:[\\s\\S]*train_size[\\s\\S]*n = \\d+/) ?? [''])[0]")
    assert "1,000" in tip
    for chosen, cells in (("1,000", 1), ("", 2)):
        click(browser, f"at('effect', {x}, {y})")
        browser.until(f"control('setting 0').value === '{chosen}'")
        assert browser.value("lines('mean', 'world').filter((world) => world === 'real').length") == cells


def test_every_mark_of_the_curves_has_a_name(browser):
    """Marks, band, thin and thick lines, as far as they are drawn."""
    names = f"[...document.querySelectorAll('.interactive-legend .interactive-mark')].map((one) => one.{PLAIN})"
    marks = ["▲ memorised", "● grokked"]
    assert browser.value(names) == ["one run", "mean", "95 % interval of the mean", *marks, "chance"]
    press(browser, "control('log_y')")
    choose(browser, "measure", "loss")
    assert browser.value(names) == ["one run", "mean", "95 % interval of the mean", *marks]


def test_the_page_is_dark_where_that_is_wanted(browser):
    """Paper, ink and the letters of both kinds of figure change; nothing stays dark on dark."""
    light = "(color) => color.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3"
    colors = ("getComputedStyle(document.documentElement).backgroundColor", "getComputedStyle(document.body).color",
              "getComputedStyle(document.querySelector('#figure-steps svg text')).fill",
              "model('curves x log').major_label_text_color")  # fmt: skip
    seen = {}
    for scheme in ("light", "dark"):
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.value("settled()")
        seen[scheme] = [browser.value(f"({light})({color})") for color in colors]
    paper, *ink = seen["dark"]
    assert paper < 60
    assert min(ink) > 150
    paper, *ink = seen["light"]
    assert paper > 240
    assert max(ink) < 100


def test_contents_stay_in_sight_and_hide_no_heading(browser):
    """At the top of a narrow window they wrap, and a heading that they lead to stands below them."""
    for width in (1280, 390, 320):
        browser.resize(width, 800)
        browser.value("document.querySelector('nav a[href=\"#tables\"]').click(); settled()")
        nav, heading = browser.value(
            "['nav', '#tables h2'].map((one) => document.querySelector(one).getBoundingClientRect())"
            ".map((box) => [box.top, box.bottom])"
        )
        assert nav[0] == 0
        assert heading[0] >= (nav[1] if width < 1216 else 0)
        assert heading[0] < 400


def test_letters_of_figures_are_readable_on_a_telephone(browser):
    """At least 11 pixels in a window of 360."""
    browser.resize(360, 800)
    browser.value("settled()")
    sizes = """[...document.querySelectorAll('figure:not(.under-interactive) svg text')].filter((one) => one.getClientRects().length && one.checkVisibility())
        .map((one) => parseFloat(getComputedStyle(one).fontSize) * Math.abs(one.getScreenCTM().d || one.getScreenCTM().b))"""  # noqa: E501
    drawn = browser.value(sizes)
    assert len(drawn) > 50
    assert min(drawn) >= 11
    assert browser.value("parseFloat(model('curves x log').major_label_text_font_size)") >= 11
    assert browser.value("parseFloat(model('curves x log').axis_label_text_font_size)") >= 11


def test_a_map_answers_to_the_mouse(only_covered, tmp_path):
    """A tooltip names the cell and its number."""
    page = write_report(synthetic(3, (500, 1000), decays=(0.1, 0.3), evaluations=20), tmp_path / "report.html")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("Boolean(document.querySelector('.under-interactive'))")
        browser.value(HELPERS)
        covered = browser.value("[...document.querySelectorAll('.under-interactive')].map((one) => one.id)")
        assert "figure-phase_map" in covered
        choose(browser, "form", "map")
        scroll_to(browser, "map")
        browser.mouse(
            "mouseMoved",
            *browser.value("at('map', ...[0, 1].map((side) => model('map')[`${'xy'[side]}_range`].factors[0]))"),
        )
        tip = browser.until("(texts(document.body).match(/cell:[\\s\\S]*decay[\\s\\S]*grokked/) ?? [''])[0]")
        assert "train_size 500" in tip
        assert browser.value("column('map cells', 'label').every((label) => label !== undefined)")
        assert browser.errors == []


def test_more_than_six_means_have_a_reason_for_no_band(only_covered, tmp_path):
    """And a cell that is picked has its band."""
    results = synthetic(3, (200, 300, 400, 500, 600, 700), evaluations=12)
    page = write_report(dataclasses.replace(results, claims={}), tmp_path / "report.html")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("Boolean(document.querySelector('.under-interactive'))")
        browser.value(HELPERS)
        assert "Bands and marks of more than 6 means would cover each other and are left out" in browser.value(NOTE)
        assert browser.value("column('curves band', 'xs').length") == 0
        choose(browser, "setting 0", "200")
        assert "Band: 95 % t interval of the mean at each step." in browser.value(NOTE)
        assert browser.value("column('curves band', 'xs').length") == 2


def test_figures_of_two_studies_draw_side_by_side(only_covered, tmp_path):
    """With one library between them, and each over its own static figures."""
    one, other = synthetic(2, (1000, 2000), evaluations=12), synthetic(2, (500,), decays=(0.1,), evaluations=12)
    other = dataclasses.replace(other, study={"question": "And with less decay?"})
    folders = [dataclasses.replace(held, folder=Path(name)) for held, name in ((one, "a"), (other, "b"))]
    page = write_report(folders, tmp_path / "report.html")
    with chromium.Browser() as browser:
        browser.open(page)
        browser.until("document.querySelectorAll('.interactive[data-ready]').length === 2")
        browser.until("document.querySelectorAll('.under-interactive').length >= 7")
        covered = browser.value("[...document.querySelectorAll('figure.under-interactive')].map((one) => one.id)")
        assert {"figure-study1-effect_grokking", "figure-study1-test_error", "figure-study2-test_error"} <= set(covered)
        drawn = browser.value("Bokeh.documents.map((one) => one.get_model_by_name('curves lines'))"
                              ".filter(Boolean).map((one) => one.data.xs.length)")  # fmt: skip
        assert sorted(drawn) == [2 * 2 + 2, 2 * 3 + 3]
        assert browser.errors == []

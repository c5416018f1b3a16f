import dataclasses
import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import escape

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.results import write
from deepboot.reports import compare
from deepboot.reports.claims.explain.evidence import evidence_of
from deepboot.reports.claims.family import cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.figures.worlds import draw_worlds
from deepboot.reports.measures.events import event_times
from deepboot.reports.page.page import write_report
from deepboot.reports.page.summary import finding
from deepboot.reports.replication.ledger import replications
from deepboot.reports.tables.cells import steps
from tests.reports.conftest import synthetic

CLAIMS = [
    {"kind": "grokking_delay", "min_ratio": 5.0, "primary": True, "text": "Grokking comes late"},
    {"kind": "faster", "min_ratio": 1.0},
]


class Text(HTMLParser):
    """Words of a page, and everything that it would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.words, self.loads, self.links, self.headings, self.ids, self.tag = [], [], [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.loads += [value for name, value in attrs if name in ("src", "href") and value[:1] != "#"]
        self.links += [value for name, value in attrs if tag == "a" and name == "href"]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.words.append(data)
        if self.tag == "h2" and data.strip():
            self.headings.append(data)


def read_page(path):
    """The page, parsed, and its words with single spaces."""
    page = Text()
    page.feed(path.read_text())
    return page, re.sub(r"\s+", " ", " ".join(page.words))


CSV = "data:text/csv;charset=utf-8,"


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """Results of one cell with two runs that never grok, their report's file, its page, words and text."""
    results = synthetic(seeds=8, censored=(1, 5), claims=CLAIMS)
    out = write_report(results, tmp_path_factory.mktemp("usual") / "report.html")
    return results, out, *read_page(out), re.sub(r"\s+", " ", out.with_suffix(".md").read_text())


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The same of 8 cells of two settings, one seed each, with a claim over all of them."""
    sizes = tuple(range(100, 500, 100))
    results = synthetic(1, sizes, decays=(0.1, 0.3), evaluations=8, claims=[CLAIMS[0]])
    out = write_report(results, tmp_path_factory.mktemp("swept") / "report.html")
    return results, out, *read_page(out), re.sub(r"\s+", " ", out.with_suffix(".md").read_text())


def test_page_text_and_figures_are_written(usual):
    """One offline page, the same as text, and every figure as SVG."""
    _, out, page, _, _ = usual
    figures = {path.stem for path in (out.parent / "figures").iterdir()}
    assert figures >= {"test_error", "test_soft_error", "bootstrap_error", "steps", "survival"}
    assert sorted(path.relative_to(out.parent).as_posix() for path in out.parent.rglob("*.*")) == sorted(
        ["report.html", "report.md"] + [f"figures/{name}.svg" for name in figures]
    )
    assert all(address.startswith(CSV) for address in page.loads)
    assert "<script src" not in out.read_text()
    assert len(page.ids) == len(set(page.ids))
    assert page.headings == ["Claims", "Finding", "Figures", "Configuration", "Tables", "Run it again"]


def drawn(*metrics):
    """Draws the curves of these metrics alone, in place of all figures."""
    return lambda comparison, axis: [draw_worlds(comparison, name, event_times(comparison)) for name in metrics]


def test_figures_are_written_as_pdf_where_that_is_asked_for(monkeypatch, tmp_path):
    """And a PDF that lies there follows its figure ever after."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawn("test_error", "test_soft_error"))
    results = synthetic(seeds=2, evaluations=8)
    out = write_report(results, tmp_path / "report.html", pdf=True)
    written = tmp_path / "figures" / "test_error.pdf"
    assert {path.stem for path in (tmp_path / "figures").glob("*.pdf")} == {
        path.stem for path in (tmp_path / "figures").glob("*.svg")
    }
    whole = written.read_bytes()
    assert whole.startswith(b"%PDF")
    written.write_bytes(b"")
    write_report(results, out)
    assert written.read_bytes() == whole


def test_figures_carry_the_commands_that_made_their_results(monkeypatch, tmp_path):
    """As the page has them, in the SVG's description and the PDF's subject; figures in the page do not repeat them."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawn("test_error"))
    one, other = synthetic(seeds=2, evaluations=8), synthetic(seeds=2, train_sizes=(700,), evaluations=8)
    commands = ["deepboot run parity.toml --set 'task.name=\"a & <b>\"'", "deepboot run more.toml"]
    several = [
        dataclasses.replace(results, environment={**results.environment, "command": command})
        for results, command in zip((one, other), commands, strict=True)
    ]
    out = write_report(several, tmp_path / "report.html", pdf=True)
    (svg,) = (tmp_path / "figures").glob("*.svg")
    pdf = svg.with_suffix(".pdf")
    found = ElementTree.parse(svg).findall(".//{http://purl.org/dc/elements/1.1/}description")
    assert [one.text for one in found] == ["\n".join(commands)]
    assert b"/Subject (deepboot run parity.toml" in pdf.read_bytes()
    page = out.read_text()
    assert "dc:description" not in page
    assert all(f"<code>{escape(command)}</code>" in page for command in commands)
    first = svg.read_bytes(), pdf.read_bytes()
    write_report(several, out)
    assert (svg.read_bytes(), pdf.read_bytes()) == first
    without = [dataclasses.replace(results, environment={}) for results in several]
    write_report(without, out)
    assert b"dc:description" not in svg.read_bytes()
    assert b"/Subject" not in pdf.read_bytes()


def test_the_ideal_world_of_a_finite_task_repeats_its_samples(usual, monkeypatch, tmp_path):
    """The glossary does not say that nothing is used twice where everything is."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawn("test_error", "test_soft_error"))
    results, _, _, words, _ = usual
    assert "nothing is ever used twice" in words
    runs = results.runs.assign(first_reuse_step=7)
    _, again = read_page(write_report(dataclasses.replace(results, runs=runs), tmp_path / "report.html"))
    assert "all that are not tested have been used by step 7, and are then used again" in again
    assert "Figures 1 and 2, for all runs and cells, under the mouse" in again


def test_an_error_without_bounds_does_not_stop_a_report(tmp_path):
    """A regression that diverges has infinite errors at its last evaluation: no values, of a run that is named."""
    held = synthetic(seeds=6, diverged=(1,), evaluations=8, claims=CLAIMS)
    (run_id,) = held.runs.loc[held.runs["status"] == "diverged", "run_id"]
    last = held.evaluations[held.evaluations["run_id"] == run_id].index[-1]
    held.evaluations.loc[last, ["test_error", "test_soft_error", "test_loss", "train_error", "train_loss"]] = np.inf
    _, words = read_page(write_report(held, tmp_path / "report.html"))
    assert "1 run of 12 diverged" in words
    assert "inf" not in words.replace("information", "").split()


def test_the_answer_and_its_figure_come_first(usual):
    """Before everything else, in both forms, with both worlds' events marked; terms have the study's thresholds."""
    _, out, _, words, plain = usual
    text = out.read_text()
    assert 0 < text.index('class="answer ') < text.index('id="figure-test_error"') < text.index('"claims"')
    for form in (words.replace("\N{NO-BREAK SPACE}", " "), plain):
        assert "Grokking comes late (measured: " in form
        assert "Circle: median step of memorising. Diamond: median step of grokking." in form
        assert "The test accuracy is at least 0.99 in 3 evaluations in a row" in form
        assert "guessing evenly among the task's labels: 0.5." in form.replace("&#39;", "'")
    assert text.index('id="figure-test_error"') < text.index('class="interactive"') < text.index('"claims"')
    marks = {
        f"test_error-median {event} {world}" for event in ("memorization", "grokking") for world in ("real", "ideal")
    }
    assert marks <= set(usual[2].ids)


def test_page_holds_the_numbers_of_the_tables(usual):
    """Question, finding, verdicts, settings, facts, environment and command are all there, in both forms."""
    results, _, _, words, plain = usual
    row = compare(results).at_stopping().iloc[0]
    expected = [
        "Does a finite pool delay generalisation on sparse parity?",
        "Source: PAIR, 2023",
        "16 runs",
        "Grokking comes late",
        *finding(compare(results)),
        f"{row['low']:.3f}".replace("-", "−"),
        "2 of 8 never grokked",
        "optimizer.weight_decay",
        "universe_size",
        "1,073,741,824",
        "deepboot run parity.toml",
        "3.11.9",
        "numpy 2.3.1",
        "8 real and 8 ideal runs",
        "None: all 16 runs finished.",
    ]
    for text in expected:
        assert text in words.replace("\N{NO-BREAK SPACE}", " ")
        assert text in plain


def test_claims_are_drawn_against_their_regions(usual):
    """A bar for every claim with its numbers for screen readers; p values wait in columns of their own."""
    results, out, _, _, _ = usual
    text = out.read_text().replace("\N{NO-BREAK SPACE}", " ")
    for case in cases(judge(results)):
        effect = case.first.effect
        label = f"Estimate {effect.estimate_text}, interval {effect.interval_text}; claimed: {effect.claimed_text}."
        assert f'aria-label="{label}"' in text
        assert f'<td class="p">{case.significance.text}</td>'.replace("< 0", "&lt; 0") in text


def test_tables_can_be_saved_from_the_page_alone(usual):
    """Each is a file inside its link, with the rows of the table."""
    results, _, page, _, _ = usual
    files = [unquote(address.removeprefix(CSV)) for address in page.links if address.startswith(CSV)]
    assert steps(compare(results)).csv in files
    assert "real,grokking,8," in steps(compare(results)).csv


def test_published_numbers_stand_beside_ours(usual, without_figures, tmp_path):
    """After the verdicts, in both forms, with the verdict, the source, what is open, and the command; else nowhere."""
    entry = {"quantity": "grokking_delay", "value": 500.0, "source": "Power et al. 2022", "unspecified": "the width"}
    results, plain, *_ = usual
    assert "published" not in plain.read_text() + plain.with_suffix(".md").read_text()
    with_entry = dataclasses.replace(results, study={**results.study, "published": [entry]})
    out = write_report(with_entry, tmp_path / "report.html")
    page, words = read_page(out)
    markdown = out.with_suffix(".md").read_text()
    assert page.headings[:3] == ["Claims", "Beside the published numbers", "Finding"]
    assert "Measured by deepboot run parity.toml" in words
    assert "Measured by:\n\n    deepboot run parity.toml\n" in markdown
    (one,) = replications(compare(with_entry))
    for text in (words, markdown):
        for cell in (one.quantity, "500", one.estimate, "6 of 8", "same direction", "Power et al. 2022", "the width"):
            assert cell in text


def test_every_verdict_has_its_evidence(usual):
    """Numbers, missing runs, what was compared and what would change it, in both forms, and links to figures."""
    results, out, page, words, plain = usual
    every, drawings = cases(judge(results)), [path.stem for path in (out.parent / "figures").iterdir()]
    assert out.read_text().count("<summary>Evidence") == len(every) == 2
    for case in every:
        found = evidence_of(case, case.first)
        sentences = [*found.runs, *found.compared, *found.change]
        assert len(sentences) >= 2
        for text in (*sentences, case.significance.text):
            assert text in words.replace("\N{NO-BREAK SPACE}", " ")
            assert text in plain
        assert f"figure-{found.figure(drawings)}" in page.ids
    inside = {link.removeprefix("#") for link in page.links if link[:1] == "#"}
    assert inside
    assert inside <= set(page.ids)
    assert "Real world: seeds 1 and 5 never grokked by step 4,000." in words


def test_a_claim_over_many_cells_shows_those_that_weigh_most(swept):
    """Three of them in full, all of them in the table, and the rule in its note."""
    _, _, _, words, _ = swept
    assert "Evidence in the 3 of 8 cells that weigh most" in words
    assert "Over cells: one cell that refutes “all”, or supports “any”, must do so at the error divided by" in words
    assert "More seeds: a verdict takes at least 6, and there are 1." in words
    assert "Inconclusive: claimed for all of 8 cells; supported in 0, refuted in 0, inconclusive in 8." in words


def test_a_sweep_begins_with_its_effect_and_every_cell_is_drawn(swept):
    """The effect of the settings comes first; curves of six cells at a time, folded, reach the last one."""
    _, out, page, words, plain = swept
    figures = [name.removeprefix("figure-") for name in page.ids if name.startswith("figure-")]
    assert figures[0] == "effect_final_error"  # since none groks
    assert {"effect_bootstrap_error", "effect_grokking", "phase_map"} < set(figures)
    assert [name for name in figures if "test_error" in name] == ["test_error", "test_error-2"]
    text = out.read_text()
    for size in range(100, 500, 100):
        assert re.search(rf">train_size {size},? ?(weight_decay|<)", text)
    assert "Cells 7 to 8 of 8" in words
    assert "Continued: cells 7 to 8 of 8." in plain
    assert "Of 8 cells on a pool, " in words


def test_broken_runs_are_named(make_results, without_figures, tmp_path):
    """Diverged and failed runs appear by name, cell and seed."""
    _, words = read_page(write_report(make_results(seeds=4, diverged=(1,), failed=(2,)), tmp_path / "report.html"))
    assert "1 run of 8 diverged: real-0.3-750-1 (real, seed 1)." in words
    assert "1 run of 8 failed: real-0.3-750-2 (real, seed 2)." in words


def test_finding_sentences(make_pairs):
    """Medians with counts and intervals in both worlds, then the bootstrap error with its n."""
    pair = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_memorization": (40, 50), "stopping": 20}
    never = pair | {"grokking": (4000, None)}
    pairs = [
        one | {"ideal_grokking": (40, 50), "differences": [0, 0, value, 0]}
        for one, value in zip([pair] * 4 + [never] * 2, (0.1, 0.2, 0.3, 0.1, 0.2, 0.3), strict=True)
    ]
    assert finding(compare(make_pairs(pairs))) == [
        "The real world memorises at about step 95 (median of 6 runs, 95 % interval 90 to 100) and groks at about step "
        "949 (median of 6 runs, 95 % interval 900 to > 4,000; 2 of 6 never grokked); evaluations fix these steps to "
        "within 11 %.",
        "The ideal world memorises at about step 45 (median of 6 runs, 95 % interval 40 to 50) and groks at about step "
        "45 (median of 6 runs, 95 % interval 40 to 50); evaluations fix these steps to within 25 %.",
        "The bootstrap error (real − ideal, test soft error) at the stopping step is 0.20 (95 % interval 0.11 to 0.29, "
        "6 of 6 pairs). The generalisation gap, real test − train, is 0.4.",
    ]


def test_finding_says_not_reached_and_too_few(make_pairs):
    """A median beyond the budget, an event no run reached, and no interval below six runs."""
    pair = {"memorization": (90, 100), "grokking": (4000, None), "ideal_grokking": (4000, None), "stopping": None}
    pairs = [pair, pair, pair | {"ideal_grokking": (90, 100)}]
    assert finding(compare(make_pairs(pairs)))[:2] == [
        "The real world memorises at about step 95 (median of 3 runs, too few for an interval) and never groks by step "
        "4,000 (3 of 3 never grokked); evaluations fix these steps to within 11 %.",
        "The ideal world does not grok by step 4,000 (median of 3 runs, too few for an interval; 1 of 3 grok).",
    ]


def test_finding_stops_after_four_cells(make_results):
    """Hundreds of cells are left to the tables, and the sentence says how many."""
    sentences = finding(compare(make_results(1, (100, 200, 300, 400, 500, 600), evaluations=8)))
    assert sentences[-1] == "2 more cells are in the tables of the report."
    assert len(sentences) == 4 + 1 + 4 + 1


def test_long_tables_are_cut_in_the_page_and_whole_in_the_text(swept):
    """Twelve rows in the page, all of them in its file and in the text."""
    _, out, page, words, _ = swept
    table = next(unquote(link) for link in page.links if "memorisation" in link and "ideal" in link)
    assert re.search(r"The first 12 of \d+ rows are shown. All rows as CSV", words)
    assert table.count("\n") > 20
    assert out.with_suffix(".md").read_text().count("| train_size 400, weight_decay 0.3 | grokking |") == 1


def test_report_of_a_folder_lies_in_the_folder(make_results, without_figures, tmp_path):
    """A folder is read, and its report written beside its tables."""
    results = make_results(seeds=2, evaluations=12)
    write(results, tmp_path)
    (tmp_path / "study.toml").write_text('question = "Does a < b & c?"\n')
    write_json(results.environment, tmp_path / "environment.json")
    out = write_report(str(tmp_path))
    assert out == tmp_path / "report.html"
    assert "<title>Does a &lt; b &amp; c?</title>" in out.read_text()
    assert "deepboot run parity.toml" in out.read_text()


def test_several_folders_need_a_place(make_results, monkeypatch, tmp_path):
    """Side by side, with the file named."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawn("test_error"))
    first = make_results(1, evaluations=8, facts=False)
    second = make_results(1, (200,), decays=(0.1,), evaluations=8, facts=False)
    second = dataclasses.replace(second, study={"question": "And with less decay?"})
    results = [dataclasses.replace(first, folder=Path("a")), dataclasses.replace(second, folder=Path("b"))]
    message = "2 folders have no one place for a report. Give the file to write, such as `--out report.html`."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_report(results)
    _, words = read_page(write_report(results, tmp_path / "both.html"))
    assert "4 runs in 4 cells" in words
    assert "2 studies side by side" in words
    assert "b And with less decay? Finding: " in words
    assert re.search("What differs between the folders setting a b ", words)
    assert (tmp_path / "both.md").is_file()


def test_results_in_memory_need_a_place(make_results):
    """They have no folder of their own."""
    message = "results in memory have no one place for a report. Give the file to write, such as `--out report.html`."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        write_report(make_results(1, evaluations=8))


def test_a_study_without_pairs_has_a_report(make_results, tmp_path):
    """Ideal runs alone, or real runs alone, are shown for what they are."""
    results = make_results(3, evaluations=12)
    for world in ("ideal", "real"):
        runs = results.runs[results.runs["world"] == world].assign(ideal_run_id=None)
        runs["ideal_run_id"] = runs["ideal_run_id"].astype("string")
        kept = dataclasses.replace(results, runs=runs)
        _, words = read_page(write_report(kept, tmp_path / f"{world}.html"))
        assert "No real run has an ideal partner." in words
        assert f"3 {world} runs" in words


def test_page_does_not_load_torch():
    """A report can be made where torch is not installed."""
    code = "import sys, deepboot.reports.page.page; print({'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_names_are_text_in_the_page_and_in_markdown(make_results, tmp_path):
    """A question, a source, a claim, a setting, a fact and a command neither run scripts nor make links or headings."""
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) $\\frac$\n# no heading"
    results = make_results(3, (100, 200), evaluations=12, claims=[{**CLAIMS[0], "text": evil}])
    runs = results.runs.assign(**{"task.path": evil})
    runs.loc[runs["train_size"] == 100, "task.path"] = f"other {evil}"
    entry = {"quantity": "rate", "value": 1.0, "source": evil, "unspecified": evil, "text": evil}
    study = {**results.study, "question": evil, "source": evil, "claims": [{**CLAIMS[0], "text": evil}]}
    study["published"] = [entry]
    environment = {**results.environment, "command": f"deepboot run {evil}"}
    hostile = dataclasses.replace(results, runs=runs, study=study, environment=environment, damage=(evil,))
    out = write_report(hostile, tmp_path / "report.html")
    page, words = read_page(out)
    assert "alert(1)" in words
    assert all(address.startswith(CSV) for address in page.loads)
    for text in (out.read_text(), out.with_suffix(".md").read_text()):
        assert "<script>alert" not in text
        assert "# no heading" in text
        assert "alert(1)" in text
    markdown = out.with_suffix(".md").read_text()
    assert "](javascript" not in markdown
    assert not any(line.startswith("# no heading") for line in markdown.splitlines())


def test_every_figure_offers_its_numbers_beside_its_svg(swept):
    """As a file in a link, twelve rows of it folded below, or for curves as a button: they are in the page once."""
    _, out, page, words, _ = swept
    captions = re.findall(r'<figure id="figure-([^"]*)">.*?<figcaption>(.*?)</figcaption>', out.read_text(), re.DOTALL)
    assert len(captions) > 6
    for name, caption in captions:
        file = f'download="{name}.csv"' in caption or f'data-curves="{name}"' in caption
        assert file == (name not in ("test_error-2", "test_soft_error-2", "bootstrap_error-2"))
    tables = [unquote(link.removeprefix(CSV)) for link in page.links if link.startswith(CSV)]
    assert any(table.startswith("cell,world,seed,test error at the end\r\n") for table in tables)
    assert re.search(r"Numbers of figure \d+ .*The first 12 of \d+ rows are shown. The figure's CSV has all.", words)


def two_studies(sizes=(100, 200), other_sizes=(100, 200)):
    """Two folders of different decay, each with a claim and a sweep of its own."""
    one = synthetic(2, sizes, evaluations=8, facts=False, claims=[CLAIMS[1]])
    other = synthetic(2, other_sizes, decays=(0.1,), evaluations=8, facts=False, claims=[CLAIMS[1]])
    other = dataclasses.replace(other, study={**other.study, "question": "And with less decay?"})
    return [dataclasses.replace(one, folder=Path("runs/a")), dataclasses.replace(other, folder=Path("runs/b"))]


def test_each_study_has_its_figures_under_its_own_heading(tmp_path):
    """Then what differs, then what compares; numbers rise through the page, and the library is there once."""
    out = write_report(two_studies(), tmp_path / "both.html")
    page, _ = read_page(out)
    text = out.read_text()
    assert page.headings[2:8] == [
        "Figures of runs/a", "Claims of runs/a", "Figures of runs/b", "Claims of runs/b",
        "What differs", "Side by side",
    ]  # fmt: skip
    assert len(page.ids) == len(set(page.ids))
    numbers = [int(number) for number in re.findall(r"<figcaption><b>Figure (\d+)\.", text)]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == numbers[-1]
    assert text.count('class="interactive" ') == 2
    assert text.count("interactive-library") - text.count(".interactive-library") == 1
    together = text[text.index('id="together"') :]
    assert 'id="figure-together-effect_final_error"' in together
    assert "in tones and markers by study" in together
    assert {path.stem for path in (tmp_path / "figures").iterdir()} >= {"study1-test_error", "study2-test_error"}
    inside = {link.removeprefix("#") for link in page.links if link[:1] == "#"}
    assert inside <= set(page.ids)
    markdown = out.with_suffix(".md").read_text()
    assert markdown.index("## Figures of runs/a") < markdown.index("## Figures of runs/b")
    assert markdown.index("## Figures of runs/b") < markdown.index("## Side by side")
    assert "(figures/together-effect_final_error.svg)" in markdown


def test_nothing_is_drawn_together_of_studies_that_sweep_other_settings(monkeypatch, tmp_path):
    """A sentence says so; where none sweeps anything, their curves and steps stand side by side."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", drawn("test_error"))
    message = "These studies do not sweep the same settings, or do not measure the same"
    for other_sizes, together in (((100,), False), ((100, 200), True)):
        sizes = (100, 200) if not together else (100,)
        out = write_report(two_studies(sizes, other_sizes[:1]), tmp_path / f"{together}.html")
        text = out.read_text()
        assert (message in text) != together
        assert (message in out.with_suffix(".md").read_text()) != together
        assert ('id="figure-together-test_error"' in text) == together
        assert 'id="figure-together-effect_final_error"' not in text


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_no_sentence_of_an_answer_is_said_again(tmp_path, make_results, name):
    """Where nothing was claimed the answer is the beginning of the finding; the rest of it follows under a heading."""
    results = make_results(seeds=3, train_sizes=(300, 750, 2_000))
    write_report(results, tmp_path / "report.html")
    text = " ".join(html.unescape((tmp_path / name).read_text()).split())
    said = finding(compare(results))
    assert len(said) > 3
    assert [text.count(sentence) for sentence in said] == [1] * len(said)
    assert "More of the finding" in text

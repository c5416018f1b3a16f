import json
import re

import pytest

from deepboot.reports.page.page import write_report
from tests.reports.conftest import synthetic
from tests.reports.interactive import chromium

SEEDS = 10


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
@pytest.mark.parametrize(("runs", "evaluations", "most"), [(300, 90, 3e6), (1_000, 90, 6e6), (1_000, 300, 6e6)])
def test_a_large_page_is_small_and_opens(tmp_path, record_property, runs, evaluations, most):
    """Megabytes by part are bounded; how long it took is recorded, since other work on a machine makes it longer."""
    sizes = tuple(range(100, 100 + 50 * (runs // SEEDS - 1), 50))
    page = write_report(synthetic(SEEDS, sizes, evaluations=evaluations, facts=False), tmp_path / "report.html")
    text = page.read_text()
    parts = {name: len(re.search(rf'class="interactive-{name}">([^<]*)', text)[1]) for name in ("library", "data")}
    parts["figures"] = sum(map(len, re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)))
    with chromium.Browser() as browser:
        browser.command("Performance.enable", timeDomain="threadTicks")
        browser.open(page)
        browser.until("document.querySelector('.interactive').dataset.ready")
        metrics = {one["name"]: one["value"] for one in browser.command("Performance.getMetrics")["metrics"]}
        marks = browser.value("performance.getEntriesByType('mark').map((one) => [one.name, one.startTime])")
        assert browser.errors == []
    record_property("page", json.dumps({"bytes": len(text.encode()), **parts, "cpu": metrics["TaskDuration"]}))
    record_property("milliseconds", json.dumps(dict(marks)))
    assert len(text.encode()) < most
    assert [name for name, _ in marks] == ["figures begin", "figures library", "figures data", "figures drawn"]

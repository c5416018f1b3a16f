"""The tables of one cell are the rows that a filter of the whole comparison finds."""

import dataclasses

import pandas as pd

from deepboot.reports import compare

SIZES = (750, 1250)


def comparison_without_a_partner(make_results):
    """Two cells that share their ideal runs, of which the second is lost."""
    results = make_results(seeds=3, train_sizes=SIZES)
    ideal_ids = results.runs.loc[results.runs["world"] == "ideal", "run_id"]
    return compare(dataclasses.replace(results, runs=results.runs[results.runs["run_id"] != ideal_ids.iloc[1]]))


def test_rows_of_a_cell_are_those_of_a_filter_in_their_order(make_results):
    """Runs, ideal partners, pairs, and pairs at a step, of real cells and of the ideal one."""
    comparison = comparison_without_a_partner(make_results)
    runs, pairs = comparison.runs, comparison.pairs()
    for cell_id, world in runs[["cell_id", "world"]].drop_duplicates().itertuples(index=False):
        tables = comparison.tables_of(cell_id, world)
        own = runs[(runs["cell_id"] == cell_id) & (runs["world"] == world)]
        pd.testing.assert_frame_equal(tables.runs, own)
        partners = own if world == "ideal" else runs[runs["run_id"].isin(own["ideal_run_id"])]
        pd.testing.assert_frame_equal(tables.ideal_runs, partners)
        pd.testing.assert_frame_equal(tables.pairs, pairs[(pairs["cell_id"] == cell_id) & (pairs["world"] == world)])
        at_end = comparison.pairs_at("end")
        expected = at_end[(at_end["cell_id"] == cell_id) & (at_end["world"] == world)]
        pd.testing.assert_frame_equal(tables.pairs_at("end", None), expected)


def test_a_lost_partner_has_a_null_row_and_is_counted(make_results):
    """In the order of the pairs; the ideal cell counts those that its partners' cells name."""
    comparison = comparison_without_a_partner(make_results)
    real = comparison.runs[comparison.runs["world"] == "real"].iloc[0]
    ideal = comparison.runs[comparison.runs["world"] == "ideal"].iloc[0]
    tables = comparison.tables_of(real["cell_id"], "real")
    assert tables.partners["status"].isna().tolist() == [False, True, False]
    assert tables.partners.index.equals(tables.pairs.index)
    assert tables.lost_partners == 1
    assert comparison.tables_of(ideal["cell_id"], "ideal").lost_partners == 1


def test_each_table_is_made_once(make_results):
    """Whoever asks for a cell has the same object; another comparison has its own."""
    comparison = comparison_without_a_partner(make_results)
    first = comparison.runs[comparison.runs["world"] == "real"].head(1)
    cell = first["cell_id"].iloc[0]
    assert comparison.tables_of(cell, "real").runs is comparison.tables_of(cell, "real").runs
    other = dataclasses.replace(comparison, runs=first)
    assert len(other.tables_of(cell, "real").runs) == 1
    assert other.tables_of("unknown", "real").pairs.empty

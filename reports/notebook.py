"""Results in a notebook: a summary in place of tables, the figures under the mouse, and kept weights.

results = load("results/demo")          # or what `deepboot.runners.run_study` returns
results                                 # the answer, the verdicts with their numbers, and the finding
results.plot.worlds()                   # both worlds' curves
results.compare().bootstrap_error()     # a DataFrame
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from numpy.typing import NDArray

from deepboot.bootstrap import results as folders
from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.results import Results
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.text import listed, plural

if TYPE_CHECKING:
    from deepboot.reports.figures.facets import Drawing
    from deepboot.reports.interactive.page import View
    from deepboot.reports.page.sections import Claim

HEIGHTS = {"worlds": 640, "bootstrap_error": 640, "effect": 1_040}  # pixels of a cell's output
DPI = 100  # of a picture
STYLE = "font: 14px/1.5 system-ui, sans-serif; max-width: 46rem"


@final
@dataclass(frozen=True, repr=False)
class NotebookResults(Results):
    """Results that show themselves: answer, verdicts and finding, figures, and a run's kept weights.

    >>> load("results/demo").runs.groupby("world").size().to_dict()
    {'ideal': 8, 'real': 8}
    """

    def compare(self) -> Comparison:
        """Real runs beside their ideal partners, with the tables of the report.

        >>> load("results/demo").compare().pairs()["seed"].tolist()
        [0, 1, 2, 3, 4, 5, 6, 7]
        """
        return compare(self)

    @property
    def plot(self) -> "Plots":
        """The figures: ``results.plot.worlds()``, ``.effect()`` and ``.bootstrap_error()``.

        >>> load("results/demo").plot.worlds()
        <a figure for a notebook; `.save('figure.html')` writes it as a page>
        """
        return Plots(self)

    def weights(
        self, *, seed: int, world: str = "real", step: int | None = None, **where: Any
    ) -> dict[str, NDArray[Any]]:
        """The kept weights of one run: an array in the shape of each parameter, by its name, such as (out, in).

        Args:
            seed, world: of the run.
            step: at which they were kept; None is the last one.
            where: further columns of ``runs`` and their values, where several runs have this seed and world; a dot in
                a name is written with ``**{"optimizer.lr": 0.1}``.

        Raises:
            ValueError: no run or several, nothing kept, or a damaged file.

        >>> load("results/demo").weights(seed=0)["hidden.0.weight"].shape  # run with --set keep.weights=final
        (128, 30)
        """
        from deepboot.reports.representation.kept import load_weights

        return load_weights(self.kept(seed=seed, world=world, step=step, **where)["path"])

    def kept(self, *, seed: int, world: str = "real", step: int | None = None, **where: Any) -> dict[Any, Any]:
        """One run's file of kept weights: its row of `representation.kept.kept_table`, with ``run_id`` and ``path``.

        Args:
            seed, world, step, where: as in `weights`.

        Raises:
            ValueError: no run or several, or nothing kept.

        >>> file = load("results/demo").kept(seed=0, world="ideal")  # run with --set keep.weights=final
        >>> file["cell"], file["path"].suffix
        ('ideal', '.safetensors')
        """
        from deepboot.reports.representation.kept import kept_table

        chosen = {"seed": seed, "world": world, **where}
        files = kept_table(self, where=chosen, steps="last" if step is None else [step])
        if len(files) > 1:
            asked = listed(f"{name} {value}" for name, value in chosen.items())
            raise ValueError(
                f"{len(files)} runs have kept weights for {asked}: {listed(map(str, files['cell']), '; ')}. "
                "Name the cell's settings, such as `weights(seed=0, train_size=500)`."
            )
        (file,) = files.to_dict("records")
        return file

    def __repr__(self) -> str:
        where = f"{self.folder}: " if self.folder else ""
        return f"<{where}{plural(len(self.runs), 'run')}, {plural(len(self.evaluations), 'evaluation')}>"

    def _repr_html_(self) -> str:
        from deepboot.reports.page.sections import parts
        from deepboot.reports.page.summary import finding

        comparison = self.compare()
        (part,) = parts(comparison)  # as on the page: the same answer, verdicts and sentences
        answered = part.answer
        sentences = [one for one in finding(comparison) if one not in answered.text]
        items = [*map(_claim, part.claims), *map(escape, sentences)]
        return (
            f'<div style="{STYLE}"><p><b>{escape(part.question)}</b></p>'
            f"<p><b>{answered.head}:</b> {escape(answered.text)} <b>{answered.counts}</b></p>"
            f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul><p>{escape(repr(self))}</p></div>"
        )


def _claim(claim: "Claim") -> str:
    """A claim as HTML: verdict and text, then every cell's estimate with its interval, or how many cells say what."""
    from deepboot.reports.tables.verdicts import tally

    case = claim.case
    sentences = [*([tally(case)] if len(case.judgements) > 1 else []), *claim.sentences]
    return "<br>".join([f"<b>{case.overall}</b>: {escape(case.first.title)}", *map(escape, sentences)])


@final
@dataclass(frozen=True)
class Plots:
    """The figures of results, made when asked for.

    >>> figures = load("results/demo").plot
    >>> figures.bootstrap_error().height  # pixels
    640
    """

    results: Results

    def worlds(self) -> "Plot":
        """Both worlds' curves, run by run under their means, over steps, samples or seconds.

        >>> load("results/demo").plot.worlds().height  # pixels
        640
        """
        return self._plot("worlds")

    def bootstrap_error(self) -> "Plot":
        """Real minus ideal at the same step and seed, pair by pair under their mean.

        >>> load("results/demo").plot.bootstrap_error().height  # pixels
        640
        """
        return self._plot("bootstrap_error")

    def effect(self) -> "Plot":
        """What came of the swept settings in each world, over the curves of the cells that are clicked.

        Raises:
            ValueError: nothing is swept.

        >>> load("results/demo").plot.effect()
        Traceback (most recent call last):
        ValueError: these results have one cell: no setting is swept, so none has an effect. Use `plot.worlds()`.
        """
        from deepboot.reports.interactive.curves import panel_cells

        comparison = compare(self.results)
        if not panel_cells(comparison, comparison.panels())[1]:
            raise ValueError(
                "these results have one cell: no setting is swept, so none has an effect. Use `plot.worlds()`."
            )
        return self._plot("effect")

    def _plot(self, view: "View") -> "Plot":
        from deepboot.reports.interactive.page import document

        comparison, question = compare(self.results), str(self.results.study.get("question", "Deep bootstrap"))
        return Plot(document(comparison, view=view, title=question), HEIGHTS[view], partial(_at_rest, comparison, view))


def _at_rest(comparison: Comparison, view: "View") -> bytes | None:
    """The figure of the report that shows the same, as PNG; None where nothing was evaluated."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from deepboot.reports.figures.bootstrap_error import draw_bootstrap_error
    from deepboot.reports.figures.effect import draw_effects
    from deepboot.reports.figures.facets import rc_style
    from deepboot.reports.figures.worlds import draw_worlds
    from deepboot.reports.measures.events import event_times

    drawings: dict[View, Callable[[], list[Drawing | None]]] = {
        "worlds": lambda: [draw_worlds(comparison, "test_error", event_times(comparison))],
        "bootstrap_error": lambda: [draw_bootstrap_error(comparison)],
        "effect": lambda: [*draw_effects(comparison)],
    }
    drawing = next(iter(drawings[view]()), None)
    if drawing is None:
        return None
    png = io.BytesIO()
    with rc_context(rc_style(drawing.name)):
        drawing.figure.set_dpi(DPI)
        FigureCanvasAgg(drawing.figure).print_png(png)
    return png.getvalue()


@final
@dataclass(frozen=True, repr=False)
class Plot:
    """A figure as a page of its own, which a notebook shows in a frame: it needs no extension and no network.

    Attributes:
        page: the whole page, about 0.5 MB.
        height: of the frame, in pixels.
        picture: makes the same figure at rest, as PNG, for programs that show no frames.

    >>> len(load("results/demo").plot.worlds().page) > 400_000
    True
    """

    page: str
    height: int
    picture: Callable[[], bytes | None] = field(compare=False)

    def save(self, path: Path | str) -> Path:
        """Write the page into a file.

        >>> load("results/demo").plot.worlds().save("worlds.html").name
        'worlds.html'
        """
        write_atomically(Path(path), self.page.encode())
        return Path(path)

    def __repr__(self) -> str:
        return "<a figure for a notebook; `.save('figure.html')` writes it as a page>"

    def _repr_html_(self) -> str:
        frame = f'width="100%" height="{self.height}" style="border: 0"'
        return f'<iframe srcdoc="{escape(self.page)}" {frame} title="Interactive figure"></iframe>'

    def _repr_png_(self) -> bytes | None:
        return self.picture()


def load(folder: Path | str) -> NotebookResults:
    """All results of an output folder, also while a study is trained into it.

    Raises:
        ValueError: the folder or one of its tables is missing.
        DamagedFileError: one of its tables, or its study, cannot be read.

    >>> load("results/demo").runs[["world", "seed"]].head(2).to_dict("list")
    {'world': ['real', 'real'], 'seed': [0, 1]}
    """
    found = folders.read(folder)
    return NotebookResults(**{field.name: getattr(found, field.name) for field in fields(found)})

"""The index of a run's samples: figures, what needs attention, and distributions over all."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..segmenters import title_of
from . import page
from .charts import Pooled, Ranked, Ranks, pool, rank
from .findings import Finding, findings
from .measures import MEASURES, Measure, has_enough
from .methods.facts import facts_of
from .summary import certified_fraction

# Of samples in a list, and of findings in a row before the rest is folded
N_NAMED = 6
N_SHOWN = 2
POOLED_SIZE = 300, 110
RANKS_SIZE = 640, 150


def entry(report: dict) -> dict:
    """Return what the index, samples.csv and MultiQC need of a sample, a hundredth of its report.

    Parameters
    ----------
    report : dict
        Contents of report.json, see `sample_report.describe`; ``evaluation`` is kept.

    Returns
    -------
    dict
        The same without ``provenance``, ``markers``, the places of patches and all ``pictures`` but
        the ``thumbnail``; of ``checks`` the ``figures`` alone; and ``methods``, `methods.facts_of`.
    """
    left_out = ("pictures", "provenance", "markers")
    kept = {k: value for k, value in report.items() if k not in left_out}
    patches = {
        state: {k: value for k, value in found.items() if k != "path"}
        for state, found in report["patches"].items()
    }
    checks = {"figures": report["checks"]["figures"]}
    thumbnail = report["pictures"]["thumbnail"]
    shortened = {"patches": patches, "checks": checks, "thumbnail": thumbnail}
    return kept | shortened | {"methods": facts_of(report)}


@dataclass(frozen=True)
class Column:
    """A column of the index.

    Attributes
    ----------
    title : str
    value : callable
        Number or text of an entry; None where it has none.
    shown : callable
        How a value is written.
    """

    title: str
    value: Callable[[dict], float | str | None]
    shown: Callable[[float | str | None], str] = page.number


def _of_summary(name: str) -> Callable[[dict], float | None]:
    return lambda sample: sample["summary"].get(name)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _percent_below(share: float | None) -> str:
    """Round down: what is not all must not look like it."""
    return _percent(None if share is None else math.floor(share * 1000) / 1000)


FIGURES = (
    Column("cells", _of_summary("n_cells")),
    Column("nuclei", _of_summary("n_nuclei")),
    Column("matched", _of_summary("n_matched")),
    Column("of cells", _of_summary("cell_matched_fraction"), _percent),
    Column("of nuclei", _of_summary("nucleus_matched_fraction"), _percent),
    Column("per mm²", lambda sample: sample["density_per_mm2"]),
    Column("tiling verified", lambda sample: certified_fraction(sample["summary"]), _percent_below),
    Column("quality score", lambda sample: quality_score(sample), lambda v: page.number(v, 2)),
    Column("F1 cells", _of_summary("f1_cell"), lambda v: page.number(v, 3)),
    Column("F1 nuclei", _of_summary("f1_nucleus"), lambda v: page.number(v, 3)),
    Column("mm²", lambda sample: sample["image"]["mm2"], lambda v: page.number(v, 2)),
)


def quality_score(sample: dict) -> float | None:
    """Return EVALUATE's score of a sample; None where it has none."""
    return (sample.get("evaluation") or {}).get("quality_score")


def own_columns(samples: Iterable[dict]) -> list[str]:
    """Return the names of the user's columns, in the order of the samplesheet."""
    return list(dict.fromkeys(name for sample in samples for name in sample["columns"]))


@dataclass(frozen=True)
class Row:
    """A sample in the index."""

    sample: dict
    found: list[Finding]
    figures: list[tuple[str, bool]]
    """Texts, and whether each is of a column of numbers."""

    @property
    def n_urgent(self) -> int:
        """Number of findings that are urgent."""
        return sum(finding.urgent for finding in self.found)


@dataclass(frozen=True)
class Compared:
    """A measure over all samples that have it."""

    measure: Measure
    samples: list[dict]
    pooled: Pooled
    ranks: Ranks

    @property
    def listed(self) -> list[Ranked]:
        """Those that are named: the outliers, of a few samples all."""
        ranked = self.ranks.samples
        if self.ranks.fences is None:
            return ranked
        return [one for one in ranked if one.is_outlier]


def render(samples: Sequence[dict], run: dict) -> str:
    """Return the page of several samples.

    Parameters
    ----------
    samples : sequence of dict
        See `entry`.
    run : dict
        ``steps``, ``refusals`` and ``about``, see `run_report.render`; ``methods``, see there.
    """
    samples = sorted(samples, key=lambda sample: sample["sample"])
    found = [findings(sample) for sample in samples]
    columns = [*FIGURES, *map(_own, own_columns(samples))]
    columns = [c for c in columns if any(c.value(sample) not in (None, "") for sample in samples)]
    numeric = [all(not isinstance(c.value(sample), str) for sample in samples) for c in columns]
    rows = [
        Row(
            sample,
            of_sample,
            [(c.shown(c.value(sample)), n) for c, n in zip(columns, numeric, strict=True)],
        )
        for sample, of_sample in zip(samples, found, strict=True)
    ]
    # The sort is stable: those of equal rank stay in the order of their names.
    rows.sort(key=lambda row: (-row.n_urgent, row.n_urgent - len(row.found)))
    return page.render(
        "index.html.j2",
        script=(page.TEMPLATES / "index.js").read_text(),
        run=run,
        rows=rows,
        segmenters=sorted({title_of(sample["segmenter"]) for sample in samples}),
        columns=list(zip(columns, numeric, strict=True)),
        groups=grouped(samples, found),
        compared_slides=compared_slides(samples),
        viewed=_viewed(samples, run),
        compared=[c for measure in MEASURES.values() if (c := compare(samples, measure))],
        places={sample["sample"]: k for k, sample in enumerate(samples, 1)},
        n_named=N_NAMED,
        n_shown=N_SHOWN,
        pooled_size=POOLED_SIZE,
        ranks_size=RANKS_SIZE,
    )


def _viewed(samples: Sequence[dict], run: dict) -> set[str]:
    """Return the samples that have a viewer: of a run that makes one, those not refused."""
    if "viewer" not in (run["about"] or {}).get("formats", ()):
        return set()
    refused = {refusal["sample"] for refusal in run["refusals"]}
    return {sample["sample"] for sample in samples} - refused


def compared_slides(samples: Sequence[dict]) -> list[str]:
    """Return the slides with results of several segmenters, which a page compares."""
    n_results = Counter(sample.get("slide") for sample in samples)
    return sorted(slide for slide, n in n_results.items() if slide and n > 1)


def _own(name: str) -> Column:
    return Column(name, lambda sample: sample["columns"].get(name), page.plain)


def grouped(
    samples: Sequence[dict], found: Sequence[Sequence[Finding]]
) -> list[tuple[Finding, list[str]]]:
    """Return the first finding of each code with the names of all samples that have such a one.

    The urgent ones come first, and of these what most samples have.
    """
    groups: dict[str, tuple[Finding, list[str]]] = {}
    for sample, of_sample in zip(samples, found, strict=True):
        for finding in of_sample:
            _, names = groups.setdefault(finding.code, (finding, []))
            if sample["sample"] not in names[-1:]:
                names.append(sample["sample"])
    return sorted(groups.values(), key=lambda group: (not group[0].urgent, -len(group[1])))


def compare(samples: Sequence[dict], measure: Measure) -> Compared | None:
    """Return a measure over the samples that have it, or None where none does."""
    having = [sample for sample in samples if has_enough(sample, measure)]
    if not having:
        return None
    distributions = [sample["distributions"][measure.key] for sample in having]
    pooled = pool(distributions, measure.axis_limit, POOLED_SIZE)
    return Compared(measure, having, pooled, rank(distributions, RANKS_SIZE))

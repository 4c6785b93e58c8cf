#!/usr/bin/env python3
"""Write the report of a run: a page, a table of the samples, a text for a paper, and MultiQC's."""

from pathlib import Path

import check
from cellquilt import cli, outputs
from cellquilt.handoff.step_files import read_evaluation, read_refusals, read_report, read_run
from cellquilt.planning.figures import read_figures
from cellquilt.reports import index, methods, multiqc, run_report, samples_table, usage
from cellquilt.reports.findings import plural


def main() -> None:
    """Write report.html, samples.csv, methods.txt, and what MultiQC reads into multiqc/."""
    args = cli.parser(__doc__)
    args.add_argument(
        "--samples", type=Path, nargs="+", default=[], help="report.json of each sample, of DRAW"
    )
    args.add_argument("--usage", type=Path, help="table of the tasks' time and memory")
    args.add_argument(
        "--evaluations", type=Path, nargs="+", default=[], help="evaluation.json of some samples"
    )
    args.add_argument("--refusals", type=Path, help="slides that were refused, as JSON")
    args.add_argument("--run", type=Path, help="start, command line and so on of the run, as JSON")
    check.add_settings(args)
    args.add_argument("--outdir", type=Path, required=True, help="folder of the run's results")
    o = args.parse_args()

    scores = {found["sample"]: found for found in map(read_evaluation, o.evaluations)}
    reports = (read_report(path) for path in o.samples)
    reports = (report | {"evaluation": scores.get(report["sample"])} for report in reports)
    # Of several, one report at a time is in memory.
    samples = list(map(index.entry, reports) if len(o.samples) > 1 else reports)
    mpx = {
        name: s["image"]["height"] * s["image"]["width"] / 1e6
        for s in samples
        for name in (s["sample"], s.get("slide"))
    }
    steps = None
    if o.usage:
        tasks = usage.read(o.usage)
        plan = usage.planned(samples, tasks, check.settings_of(o), read_figures(o.benchmark))
        steps = usage.steps(tasks, mpx, plan)
    refusals = read_refusals(o.refusals) if o.refusals else []
    about = read_run(o.run) if o.run else None
    page = o.outdir / "report.html"
    o.outdir.mkdir(parents=True, exist_ok=True)
    outputs.write_text(page, run_report.render(samples, steps, refusals, about))
    outputs.write_text(o.outdir / "samples.csv", samples_table.render(samples, refusals))
    paper = methods.describe(samples, about, refusals)
    outputs.write_text(o.outdir / "methods.txt", paper.text())
    (o.outdir / "multiqc").mkdir(exist_ok=True)
    multiqc.write(samples, refusals, o.outdir / "multiqc")
    cli.log.info("report: %s: %s", plural(len(samples), "sample", "samples"), page)


if __name__ == "__main__":
    cli.run(main)

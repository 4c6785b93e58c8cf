#!/usr/bin/env python3
"""Compare the pixel classifiers of a compartment: tables, plots, what is best, and a page of it."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.training import comparison, comparison_plot, ensembles
from cellquilt.training.page import page


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--cards", type=Path, nargs="+", required=True, help="JSONs of TRAIN")
    args.add_argument("--curves", type=Path, nargs="+", required=True, help="CSVs of TRAIN")
    args.add_argument("--probabilities", type=Path, nargs="+", required=True, help="its stores")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the results")
    text = "where that of all compartments will be, for what the page says to type"
    args.add_argument("--published", default="results/training", help=text)
    o = args.parse_args()
    networks = comparison.read_networks(o.cards, o.curves, o.probabilities)
    truth = comparison.read_truth(networks)
    cli.log.info("compare: %d networks", len(networks))
    table = comparison.network_table(networks)
    judged = ensembles.judge_choices(networks, truth)
    found = ensembles.recommend(networks[0].card["compartment"], judged)
    o.outdir.mkdir(parents=True, exist_ok=True)
    tables = {
        "networks": table,
        "comparison": comparison.comparison_table(table),
        "ensembles": ensembles.ensemble_table(judged),
    }
    for name, rows in tables.items():
        outputs.write_csv(o.outdir / f"{name}.csv", rows.round(6))
    outputs.write_json(o.outdir / "comparison.json", found)
    names = ("learning_curves", "probabilities", "cell_sizes")
    pictures = {name: o.outdir / f"{name}.png" for name in names}
    comparison_plot.draw_curves(pictures["learning_curves"], networks)
    comparison_plot.draw_probabilities(pictures["probabilities"], networks, truth)
    comparison_plot.draw_sizes(pictures["cell_sizes"], networks, truth)
    text = page(networks, tables["comparison"], found, pictures, o.published)
    outputs.write_text(o.outdir / "report.html", text)
    cli.log.info("compare: %s", found["options"])


if __name__ == "__main__":
    cli.run(main)

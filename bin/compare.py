#!/usr/bin/env python3
"""Compare the pixel classifiers of a compartment: tables, plots, ensembles and a recommendation."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.training import comparison, comparison_plot, ensembles


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--cards", type=Path, nargs="+", required=True, help="JSONs of TRAIN")
    args.add_argument("--curves", type=Path, nargs="+", required=True, help="CSVs of TRAIN")
    args.add_argument("--probabilities", type=Path, nargs="+", required=True, help="its stores")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the results")
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
    comparison_plot.draw_curves(o.outdir / "learning_curves.png", networks)
    comparison_plot.draw_probabilities(o.outdir / "probabilities.png", networks, truth)
    comparison_plot.draw_sizes(o.outdir / "cell_sizes.png", networks, truth)
    cli.log.info("compare: %s", found["options"])


if __name__ == "__main__":
    cli.run(main)

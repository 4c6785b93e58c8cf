#!/usr/bin/env python3
"""Summarise the batching study: a table, plots, and the fastest choice that fits the memory."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.tuning import plots, recommend


def main() -> None:
    args = cli.parser(__doc__)
    args.add_argument("--rows", type=Path, nargs="+", required=True, help="CSVs of MEASURE")
    args.add_argument("--memory_gb", type=float, help="limit; by default the machine's memory")
    args.add_argument("--outdir", type=Path, required=True, help="folder of the results")
    o = args.parse_args()
    o.outdir.mkdir(parents=True, exist_ok=True)
    table = recommend.read_rows(o.rows)
    outputs.write_csv(o.outdir / "benchmark.csv", table.round(6))
    found = recommend.recommend(table, o.memory_gb)
    outputs.write_json(o.outdir / "recommendation.json", found)
    on_gpu = table["device_memory_gb"].notna().any()
    memory = "device_memory_gb" if on_gpu else "peak_memory_gb"
    drawn = {
        "throughput": ("slide_mpx_per_s", "Mpx/s of the slide, start-up included"),
        "peak_memory": (memory, f"peak {'device ' if on_gpu else ''}memory of a task, GB"),
    }
    for name, (value, label) in drawn.items():
        with outputs.whole(o.outdir / f"{name}.png") as path:
            plots.plot(path, table, value, label, found["recommended"])
    cli.log.info("recommend: %s", found["command"] or "nothing could be measured")


if __name__ == "__main__":
    cli.run(main)

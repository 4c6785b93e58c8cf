#!/usr/bin/env python3
"""Check a network against its card by running it once, and write both as one file."""

from pathlib import Path

from cellquilt import cli, outputs
from cellquilt.networks import saved_network


def main() -> None:
    args = cli.parser(__doc__)
    text = "folder of a SavedModel with its card.json, or a .zip of one"
    args.add_argument("--network", type=Path, required=True, help=text)
    args.add_argument("--packed", type=Path, required=True, help="zip to write")
    o = args.parse_args()
    with outputs.whole(o.packed) as partial:
        card = saved_network.prepare(o.network, partial)
    cli.log.info("network: %s, tiles of %d px every %d", card["name"], card["tile"], card["stride"])


if __name__ == "__main__":
    cli.run(main)

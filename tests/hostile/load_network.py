"""Load a network as CLASSIFY and DETECT do: python load_network.py NETWORK pixelcnn|unet."""

import sys
from importlib import import_module
from pathlib import Path

from cellquilt import cli

if __name__ == "__main__":
    load = import_module(f"cellquilt.{sys.argv[2]}.network").load
    cli.run(lambda: print(load(Path(sys.argv[1])).card["compartment"]))

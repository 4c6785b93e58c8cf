"""Load a pixel classifier as CLASSIFY does: python load_network.py NETWORK."""

import sys
from pathlib import Path

from cellquilt import cli
from cellquilt.pixelcnn.network import load

if __name__ == "__main__":
    cli.run(lambda: print(load(Path(sys.argv[1])).card["architecture"]))

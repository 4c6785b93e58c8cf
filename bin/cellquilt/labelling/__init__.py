"""From maps to labelled cells: watershed, proof, and stitching of the patches."""

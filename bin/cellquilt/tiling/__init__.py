"""How a slide is divided: pixel grids, the tile lattice, patches, and the tasks that hold them."""

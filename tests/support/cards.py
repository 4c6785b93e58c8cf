"""Cards of networks, as JSON."""

THRESHOLDS = {
    "maxima_threshold": 0.01,
    "interior_threshold": 0.4,
    "interior_smooth": 1.0,
    "small_objects_threshold": 10,
    "fill_holes_threshold": 10,
    "radius": 2,
}
NUCLEI = {"nuclear": {"kind": "maxima_interior", "maps": [0, 1], "thresholds": THRESHOLDS}}


def card(**changes) -> dict:
    """Return a card of `toys.Toy` with other fields; those that are None are left out."""
    found = {
        "format": 1,
        "name": "toy",
        "tile": 320,
        "stride": 240,
        "channels": ["nuclear"],
        "normalisation": "clahe",
        "um_per_pixel": 0.5,
        "outputs": NUCLEI,
        "licence": "MIT",
    }
    return {name: value for name, value in (found | changes).items() if value is not None}

"""Image to matched masks, 4,096 x 4,096 px: as end_to_end.py; deepcell takes about 15 minutes."""

from bench import Bench, Row
from end_to_end import compare, compare_case, predict, repair  # noqa: F401  the workers' functions


def rows(bench: Bench) -> list[Row]:
    return [compare_case(bench, "mosaic 4096", 0.5)]

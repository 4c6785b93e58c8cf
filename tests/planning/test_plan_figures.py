"""The figures of plans against what there is to plan."""

from cellquilt.exports import FORMATS
from cellquilt.planning.figures import read_figures
from cellquilt.planning.plan import ORDER


def test_every_step_and_every_format_has_its_figures():
    figures = read_figures()
    assert set(figures.processor) == set(ORDER) == set(figures.memory)
    assert all("task" in rates for rates in [*figures.processor.values(), *figures.memory.values()])
    assert set(figures.formats) == set(FORMATS)
    assert set(figures.results) == {"pages", "masks", "table", *FORMATS}

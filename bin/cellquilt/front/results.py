"""What a run wrote: the tables and masks of its samples."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..cells import cell_table
from ..errors import DataError
from ..handoff.step_files import read_counts, read_matches, read_patches, read_uncertified
from ..images.label_image import LabelReader, by_name
from .masks import Masks


@dataclass(frozen=True)
class Sample:
    """A sample of a run; its files are read once they are asked for.

    Attributes
    ----------
    name : str
    folder : Path
        Of the sample.
    segmenter : str
        That found its cells.
    """

    name: str
    folder: Path
    segmenter: str

    @property
    def table(self) -> Path:
        """The file of the table of cells."""
        return self.folder / "quantification" / f"{self.name}.parquet"

    @cached_property
    def facts(self) -> dict:
        """What the cells are of: ``image``, ``image_mpp`` (um), ``channels``, ``provenance``."""
        return cell_table.read_facts(self.table)

    @property
    def image_mpp(self) -> float:
        """Pixel size (um)."""
        return self.facts["image_mpp"]

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in the order of the slide and as in the columns of `cells`."""
        return [channel["column"] for channel in self.facts["channels"]]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The table of cells, ``quantification/<sample>.parquet``; see docs/outputs.md."""
        return cell_table.read(self.table)

    @cached_property
    def patches(self) -> pd.DataFrame:
        """The table of patches, ``patches_metadata.csv``."""
        return read_patches(self.folder / "patches_metadata.csv", "STITCH")

    @property
    def mask_files(self) -> dict[str, Path]:
        """The label images by name, such as ``cell`` and ``nucleus_boundary``."""
        masks = self.folder / "segmentation" / f"{self.segmenter}-{self.name}"
        return by_name(sorted(masks.glob("*.ome.tif")))

    def mask(self, name: str = "cell", y0: int = 0, y1: int | None = None) -> np.ndarray:
        """Return a label image, or some of its rows.

        Parameters
        ----------
        name : str
            One of `mask_files`.
        y0, y1 : int
            Rows y0 to y1 - 1; without `y1`, to the last one.

        Returns
        -------
        (rows, w) ndarray of uint32
            0 is background; in the masks ``cell``, ``nucleus`` and ``cytoplasm`` every other value
            is the ``cell_id`` in `cells`.

        Raises
        ------
        DataError
            If there is no such mask, or its file is damaged.
        """
        files = self.mask_files
        if name not in files:
            raise DataError(f"{self.folder}: has no mask {name!r}, but {', '.join(files)}.")
        with LabelReader(files[name]) as labels:
            return labels.read(y0, labels.shape[0] if y1 is None else y1)

    def masks(self) -> Masks:
        """Return all masks, which takes 20 bytes a pixel of memory, as `quantify` takes them."""
        names = ("cell", "nucleus", "cytoplasm", "cell_original", "nucleus_original")
        arrays = {name: self.mask(name) for name in names if name in self.mask_files}
        tables = {
            "matches": (read_matches, "matches.csv"),
            "metrics": (read_counts, "repair_metrics.json"),
            "uncertified": (read_uncertified, "uncertified.csv"),
        }
        found = {
            name: read(self.folder / file)
            for name, (read, file) in tables.items()
            if (self.folder / file).exists()
        }
        return Masks(**arrays, **found)


def read_results(folder: str | Path) -> dict[str, Sample]:
    """Return the samples of a run, by name.

    Parameters
    ----------
    folder : str or Path
        The run's ``--outdir``.

    Returns
    -------
    dict of str to Sample
        Those that have masks, in the order of their names. Of a slide that several segmenters
        segmented there is a sample for each, ``<sample>-<segmenter>``.

    Raises
    ------
    DataError
        If no sample is there.
    """
    found = {}
    for masks in sorted(Path(folder).glob("*/segmentation/*")):
        name = masks.parents[1].name
        if masks.name.endswith(f"-{name}"):
            segmenter = masks.name.removesuffix(f"-{name}")
            found[name] = Sample(name, masks.parents[1], segmenter)
    if not found:
        raise DataError(f"{folder}: has no sample with masks; give the --outdir of a run.")
    return found

"""Segmenting an image in exact tiles, of arrays."""

from collections.abc import Sequence
from contextlib import chdir
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .. import cli, segmenters
from ..compartments import CHOICES, segmented
from ..errors import DataError
from ..handoff.step_files import read_uncertified
from ..images.label_image import LabelReader, masks_folder
from ..labelling.arriving import labelled
from ..labelling.label import Wanted
from ..labelling.slide_masks import write_masks
from ..slides.ingest import Request, ingest
from ..tiling.tasks import Cut, plan_tasks
from .arrays import ArraySlide
from .masks import Masks
from .matched import repair

# Those that come with Cellquilt, in assets/networks
OWN = {"pixelcnn": "*.keras", "nuclei": "unet/nuclei.keras"}


def segment(
    image: np.ndarray,
    image_mpp: float,
    model: str | Path | Sequence[str | Path] = "pixelcnn",
    compartment: str | None = None,
    device: str = "cpu",
    cpus: int | None = None,
) -> Masks:
    """Segment an image as a run with default parameters does, in patches that leave no seams.

    Beside the image and the masks, memory holds a few patches and the network; what waits between
    the steps, some bytes a pixel, lies in the folder of temporary files. The network stays loaded
    for the next call. Progress goes to the log ``cellquilt``.

    Parameters
    ----------
    image : (c, h, w) or (h, w) array
        The nuclear channel, and then the membrane channels if there are any; several become one,
        as in a run. As the microscope gives them: integers of 8 to 32 bits or floats, not
        rescaled. Anything with ``shape`` and ``dtype`` that gives arrays of windows, such as a
        memory map.
    image_mpp : float
        Pixel size (um).
    model : str, Path or sequence of Path
        ``'pixelcnn'`` or ``'nuclei'``, which come with Cellquilt, files of ``--mode train``
        (``.keras``), or Mesmer's prepared model (``.zip``), see docs/python.md.
    compartment : {'both', 'whole-cell', 'nuclear'}, optional
        By default both or, without membrane channels and of a network for nuclei, nuclear.
    device : {'cpu', 'gpu'}
    cpus : int, optional
        Threads, by default all that there are. TensorFlow takes the number of the first call.

    Returns
    -------
    Masks
        Equal to those of a run of the pipeline with the same TensorFlow and kind of processor.

    Raises
    ------
    ImportError
        If TensorFlow is not installed.
    DataError
        If image, pixel size or compartment cannot be used, or a file is no such network.

    References
    ----------
    Greenwald et al., Nat Biotechnol 40:555, 2022, https://doi.org/10.1038/s41587-021-01094-0.
    """
    slide = ArraySlide(image, image_mpp)
    nuclear, *membrane = (str(channel.index) for channel in slide.channels)
    if compartment not in (None, *CHOICES):
        raise DataError(f"compartment: {compartment!r} is none of {', '.join(CHOICES)}.")
    if find_spec("tensorflow") is None:
        raise ImportError(
            "cellquilt.segment needs TensorFlow, which is not installed; install Cellquilt with its"
            " extra: pip install '.[tensorflow]'"
        )
    networks = _networks_of(model)
    segmenter = model if isinstance(model, str) and model in OWN else _segmenter_of(networks)
    has_both = membrane and segmenter != "nuclei"
    compartment = compartment or ("both" if has_both else "nuclear")
    changed = tuple(path.stat().st_mtime_ns for path in networks)
    runner = _loaded(segmenter, networks, changed, device, cpus or cli.cpu_count())
    with TemporaryDirectory(prefix="cellquilt-") as name:
        folder = Path(name)
        request = Request("image", (), nuclear, ";".join(membrane), image_mpp)
        facts = ingest(request, folder / "normalised.zip", slide)
        patches = plan_tasks(folder / "normalised.zip", folder, Cut())
        wanted, labels = Wanted(segmented(compartment), {}), []
        for pixels in sorted(folder.glob("task-*.pixels.zip")):
            labels.append(folder / pixels.name.replace("pixels", "labels"))
            runner.segment(pixels, compartment, labelled(labels[-1], wanted, 0))
            pixels.unlink()
        write_masks(labels, patches, facts, compartment, segmenter, folder)
        uncertified = read_uncertified(folder / "uncertified.csv")
        masks = masks_folder(folder, "image", segmenter)
        if compartment == "both":
            pair = (_read(masks / f"{name}_original.ome.tif") for name in segmented(compartment))
            return repair(*pair, image_mpp, uncertified)
        (alone,) = segmented(compartment)
        return Masks(**{alone: _read(masks / f"{alone}.ome.tif")}, uncertified=uncertified)


def _networks_of(model: str | Path | Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the files of a model."""
    if isinstance(model, str) and model in OWN:
        package = Path(__file__).resolve().parents[1]
        # As installed, or in a clone
        places = package / "networks_of_assets", package.parents[1] / "assets" / "networks"
        return tuple(sorted(next(filter(Path.is_dir, places)).glob(OWN[model])))
    allowed = " or ".join(map(repr, OWN))
    given = [model] if isinstance(model, str | Path) else model
    found = tuple(Path(path).resolve() for path in given)
    for path in found:
        if not path.is_file():
            raise DataError(f"model: {path} is no file; give {allowed}, .keras files or a .zip.")
    if not found:
        raise DataError(f"model: no file is given; give {allowed}, .keras files or a .zip.")
    return found


def _segmenter_of(networks: Sequence[Path]) -> str:
    """Return what runs files: those of ``--mode train`` tell by their cards."""
    is_trained = all(path.suffix == ".keras" for path in networks)
    return segmenters.trained_for(networks[0]) if is_trained else "mesmer"


@lru_cache(maxsize=1)
def _loaded(
    segmenter: str, networks: tuple[Path, ...], _changed: tuple[int, ...], device: str, cpus: int
) -> segmenters.Runner:
    """Return a segmenter, loaded; networks of another time are other networks."""
    with TemporaryDirectory(prefix="cellquilt-") as folder, chdir(folder):  # to unpack a model in
        return segmenters.load(segmenter, segmenters.Settings(list(networks), device, cpus))


def _read(path: Path) -> np.ndarray:
    with LabelReader(path) as labels:
        return labels.read(0, labels.shape[0])

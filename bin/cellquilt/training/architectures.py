"""The table of architectures that can be trained, and a user's own beside it."""

import re
from pathlib import Path

import yaml

from ..errors import DataError, reason
from ..pixelcnn import architectures as pixelcnn
from ..pixelcnn.architectures import Architecture
from ..unet import architecture as unet
from ..unet.architecture import UNet

BUILT_IN = Path(__file__).with_name("architectures.yaml")
DEFAULT = ("reference", "conv5", "conv6", "conv8")


def load(names: list[str], file: Path | None = None) -> list[Architecture | UNet]:
    """Return architectures of the table, and of a user's own file, by their names.

    Raises
    ------
    DataError
        If a name is not known, or the file is not of the table's form.
    """
    known = _read(BUILT_IN) | (_read(file) if file else {})
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(
            f"--architectures {unknown[0]}: there is no such architecture; there are "
            f"{', '.join(known)}. Others can be given in a file, see --architecture_file."
        )
    return [_from_table(name, known[name], BUILT_IN.name) for name in names]


# What PyYAML raises beside its own error, of a date such as 2001-99-99, "!!bool x" or nested lists
_UNREADABLE = (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError)


def _read(file: Path) -> dict:
    try:
        table = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, *_UNREADABLE) as error:
        raise DataError(f"{file.name}: not a readable YAML file ({reason(error)}).") from error
    if not isinstance(table, dict):
        raise DataError(
            f"{file.name}: must map names of architectures to their patch and layers, as "
            "bin/cellquilt/training/architectures.yaml does."
        )
    for name, entry in table.items():
        _from_table(name, entry, file.name)
    return table


def _from_table(name: str, entry: object, source: str) -> Architecture | UNet:
    """Return what an entry describes: with filters a U-Net, and else a pixel classifier."""
    is_unet = isinstance(entry, dict) and "filters" in entry and "patch" not in entry
    is_name = isinstance(name, str) and re.fullmatch(pixelcnn.NAME, name)
    kind = unet if is_unet and is_name else pixelcnn
    return kind.from_table(name, entry, source)

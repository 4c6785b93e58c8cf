"""What is not read, by how its files begin or are called, and who converts it."""

from dataclasses import dataclass
from pathlib import Path

_BIO_FORMATS = "bfconvert {name} {stem}.ome.tif (Bio-Formats)"


@dataclass(frozen=True)
class OtherFormat:
    """A format: its name, how its files begin and end, and the command that converts one."""

    name: str
    head: bytes = b""
    suffixes: tuple[str, ...] = ()
    command: str = _BIO_FORMATS

    def fits(self, path: Path, head: bytes) -> bool:
        """Return whether a file is of this format."""
        begins = bool(self.head) and head.startswith(self.head)
        return begins or path.suffix.lower() in self.suffixes

    def hint(self, path: Path) -> str:
        """Return what it is and how to convert it, for a message."""
        command = self.command.format(name=path.name, stem=path.stem)
        return f"it is {self.name}: convert it, for example by {command}"


# Zip archives, TIFFs and folders are for the readers.
OTHER_FORMATS = (
    OtherFormat("Zeiss CZI", b"ZISRAWFILE", (".czi",)),
    OtherFormat("Nikon ND2", b"\xda\xce\xbe\x0a", (".nd2",)),
    OtherFormat("Leica LIF", b"\x70\x00\x00\x00", (".lif",)),
    OtherFormat("an Imaris file", b"\x89HDF\r\n\x1a\n", (".ims",)),
    OtherFormat("Olympus OIB", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", (".oib",)),
    OtherFormat("Olympus or Evident VSI", suffixes=(".vsi",)),
    OtherFormat("MIRAX", suffixes=(".mrxs",)),
    OtherFormat("DICOM", suffixes=(".dcm",)),
    OtherFormat(
        "imaging mass cytometry's raw data",
        suffixes=(".mcd",),
        command="steinbock preprocess imc images, which takes a folder raw/ with it, and give its"
        " panel.csv as --markers",
    ),
)


def hint_of(path: Path, head: bytes) -> str | None:
    """Return what a file is and how to convert it; None for what is not in the table.

    Parameters
    ----------
    path : Path
    head : bytes
        Its first bytes.
    """
    return next((other.hint(path) for other in OTHER_FORMATS if other.fits(path, head)), None)

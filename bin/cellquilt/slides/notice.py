"""What was noticed of a slide that does not stop a run, and that a person should read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """A sentence on a slide, in ``notices`` of sample.json.

    Attributes
    ----------
    code : str
        Its kind, such as ``pixel_size_contradicts_file``; it does not change between versions.
    text : str
        Names file and channel, and says what was found, what was assumed and what to do.
    """

    code: str
    text: str

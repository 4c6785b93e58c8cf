"""Which channels of a slide a user means."""

from collections.abc import Iterable, Sequence

from ..errors import DataError
from .slide import Channel, Slide

_MAX_LISTED = 600  # characters of a list of channels in a message


def resolve_channel(slide: Slide, spec: str, role: str) -> Channel:
    """Return the channel that `spec` names.

    Parameters
    ----------
    spec : str
        Name (whole, in any case) or 0-based index; a name wins over an index.
    role : str
        'nuclear' or 'membrane', for the message.

    Raises
    ------
    DataError
        No such channel, or several of that name.
    """
    spec = spec.strip()
    exact = [channel for channel in slide.channels if channel.name == spec]
    named = exact or [c for c in slide.channels if c.name.casefold() == spec.casefold()]
    if len(named) > 1:
        indices = ", ".join(str(channel.index) for channel in named)
        raise DataError(
            f"{slide.path}: {role} channel '{spec}' is ambiguous, channels {indices} have that"
            f" name; give --{role} the index"
        )
    if named:
        return named[0]
    if spec.isdecimal() and int(spec) < len(slide.channels):
        return slide.channels[int(spec)]
    there = ", ".join(f"{channel.index}: {channel.name}" for channel in slide.channels)
    if len(there) > _MAX_LISTED:
        there = f"{there[:_MAX_LISTED]} ... ({len(slide.channels)} channels)"
    # As in a shell or another program; a channel whose name has a comma has been found above
    hint = " (channels are separated by ';', not by commas)" if "," in spec else ""
    raise DataError(
        f"{slide.path}: no {role} channel '{spec}'{hint}; give --{role} a name or index of {there}"
    )


def resolve_channels(slide: Slide, spec: str, role: str) -> tuple[Channel, ...]:
    """Return the channels of a semicolon-separated `spec` such as 'CD45;PanCK', in its order.

    A channel that has the whole of it as its name is the only one.

    Raises
    ------
    DataError
        No such channel, a name that several have, a channel given twice, or none at all.
    """
    is_name = any(channel.name == spec.strip() for channel in slide.channels)
    parts = [spec] if is_name else [part for part in spec.split(";") if part.strip()]
    channels = tuple(resolve_channel(slide, part, role) for part in parts)
    if not channels:
        raise DataError(f"{slide.path}: no {role} channel given; name it with --{role}")
    for channel in channels:
        if channels.count(channel) > 1:
            raise DataError(
                f"{slide.path}: {role} channel {channel.index} ('{channel.name:.99}') is given"
                f" twice in '{spec}'; give it once"
            )
    return channels


def shown_channels(slide: Slide, spec: str) -> Sequence[Channel]:
    """Return the channels of ``--export_image``: all, or as `resolve_channels`."""
    is_all = spec.strip() == "all"
    return slide.channels if is_all else resolve_channels(slide, spec, "export_image")


def refuse_shared_channel(
    slide: Slide, nuclear: Iterable[Channel], membrane: Iterable[Channel]
) -> None:
    """Raise `DataError` if a membrane channel is a nuclear one."""
    for channel in set(nuclear) & set(membrane):
        raise DataError(
            f"{slide.path}: channel {channel.index} ('{channel.name:.99}') is given as nuclear and"
            " as membrane; leave it out of one of them"
        )

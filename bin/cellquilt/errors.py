"""The error that a user can correct, and what a message quotes of any other."""


class DataError(Exception):
    """Input or parameters that cannot be used as they are.

    The message is one or two lines: which file, channel or row, what is wrong with it and
    how to correct it. Scripts end with exit code 65 on it (``EX_DATAERR`` of sysexits.h),
    which the pipeline does not retry.
    """


class SlideError(DataError):
    """One slide's data cannot be used, in a step whose other errors concern all slides."""


def reason(error: BaseException | str, length: int = 200) -> str:
    """Return the text of an error, or of a library's complaint, in one line for a message.

    It may quote a file, so it can be of any length and of many lines. Lines are joined and not
    dropped, since many parsers name the problem in their second one.

    Parameters
    ----------
    error : exception or str
        Of an exception without a text, the class's name is returned.
    length : int
        Characters of the line, at most.
    """
    # As many words as characters are more than enough; the rest is not taken apart.
    words = str(error).split(None, length)
    return " ".join(words)[:length] or type(error).__name__

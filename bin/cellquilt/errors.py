"""The one exception that a user can mend."""


class DataError(Exception):
    """Input or parameters that cannot be used as they are.

    The message is one or two lines: which file, channel or row, what is wrong with it and
    how to mend it. Scripts end with exit code 65 on it (``EX_DATAERR`` of sysexits.h),
    which the pipeline does not retry.
    """

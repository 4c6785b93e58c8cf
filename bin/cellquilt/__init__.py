"""What Cellquilt's scripts share, one module a subject; nothing here knows Nextflow.

Importing the package imports nothing else, since MODEL runs it in an older Python
than every other step.
"""

__version__ = "0.1.0"

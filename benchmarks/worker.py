"""Run one function of a benchmark in the environment whose Python runs this script.

    python worker.py SUBJECT FUNCTION OPTIONS.json RESULT.json

The function takes the options as keywords and returns a result for JSON. Large arrays are passed
as .npy files whose paths are among the options.
"""

import importlib
import json
import sys
from pathlib import Path

from clocks import peak_memory_gb


def main() -> None:
    subject, function, options, result = sys.argv[1:]
    given = json.loads(Path(options).read_text())
    found = getattr(importlib.import_module(subject), function)(**given) or {}
    found.setdefault("peak_gb", peak_memory_gb())
    Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main()

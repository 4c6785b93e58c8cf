#!/usr/bin/env python3
"""Print the versions of Cellquilt and of what it runs on, in one line."""

import platform

from cellquilt import provenance

step = provenance.of_step("")
software = {"cellquilt": step["cellquilt"], "python": platform.python_version()} | step["software"]
print(", ".join(f"{name} {version}" for name, version in software.items()))

"""Compile every .pyx of the package, without build files next to the sources."""

import os
import tempfile
from glob import glob

from setuptools import Extension, setup

# -ffp-contract=off: a fused multiply-add rounds once, but the references round twice.
# No -march=native: the same build runs on every machine of a cluster.
COMPILE = ["-O3", "-ffp-contract=off", "-g0"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}

extensions = []
for path in sorted(glob("cellquilt_kernels/*.pyx")):
    extension = Extension(
        path.removesuffix(".pyx").replace(os.sep, "."), [path], extra_compile_args=COMPILE
    )
    extension.cython_directives = DIRECTIVES
    extension.cython_c_in_temp = True
    extensions.append(extension)

with tempfile.TemporaryDirectory() as scratch:
    setup(
        ext_modules=extensions,
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )

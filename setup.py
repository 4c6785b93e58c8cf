"""What is in the package: that of bin/, the kernels, and the networks of assets/.

No build file is left in the clone.
"""

import os
import tempfile
from contextlib import chdir

from distutils.core import run_setup
from setuptools import find_packages, setup

# The kernels' own setup.py says how they are compiled, for the pipeline's environments, too
with chdir("kernels"):
    kernels = run_setup("setup.py", stop_after="init").ext_modules
for kernel in kernels:
    kernel.sources = [os.path.join("kernels", source) for source in kernel.sources]

FOLDERS = {
    "": "bin",
    "cellquilt.networks_of_assets": "assets/networks",
    "cellquilt_kernels": "kernels/cellquilt_kernels",
}

with tempfile.TemporaryDirectory() as scratch:
    setup(
        packages=[*find_packages("bin"), *filter(None, FOLDERS)],
        package_dir=FOLDERS,
        package_data={
            "": ["*.yaml", "templates/*", "page/*"],
            "cellquilt.networks_of_assets": ["*.keras", "unet/*.keras"],
            "cellquilt_kernels": [],
        },
        include_package_data=False,
        ext_modules=kernels,
        options={
            "build": {"build_base": scratch},
            "build_ext": {"parallel": os.cpu_count()},
            "egg_info": {"egg_base": scratch},
        },
    )

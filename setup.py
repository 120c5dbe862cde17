"""Builds the one compiled extension, csp._fastpath."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FOLDER = "csp/_fastpath"
DEBUG = os.environ.get("CSP_DEBUG") == "1"
# What a sanitizer or coverage build adds, for example "-fsanitize=address".
EXTRA = os.environ.get("CSP_CFLAGS", "").split()

fragments = sorted(
    str(path) for path in Path(FOLDER).rglob("*") if path.suffix in (".pxi", ".h", ".pxd")
)
extension = Extension(
    "csp._fastpath",
    ["csp/_fastpath.pyx"],
    depends=fragments,
    include_dirs=["csp"],
    extra_compile_args=["-O0", "-g", *EXTRA]
    if DEBUG
    else ["-O2", "-g", "-fno-strict-aliasing", *EXTRA],
    extra_link_args=EXTRA,
    libraries=["ssl", "crypto"],
    define_macros=[("CSP_DEBUG", "1")] if DEBUG else [],
)
directives = {"boundscheck": DEBUG, "wraparound": DEBUG, "overflowcheck": DEBUG}
setup(ext_modules=cythonize([extension], compiler_directives=directives))

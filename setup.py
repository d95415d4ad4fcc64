"""What setup.cfg cannot say: one module is in C. Without a compiler imd is built without it, and runs as well, only slower."""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

NATIVE = Path("imd/transport")


class BuildIfPossible(build_ext):
    """Leaves out what cannot be compiled; then the wheel is for every machine."""

    def run(self) -> None:
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            print(f"imd: without its C extension, for it cannot be compiled here: {error}", file=sys.stderr)
            self.extensions = self.distribution.ext_modules = []
            wheel = self.distribution.get_command_obj("bdist_wheel", create=False)
            if wheel is not None:
                wheel.root_is_pure = True


setup(
    ext_modules=[
        Extension(
            "imd.transport._battery",
            sources=[str(NATIVE / f"{name}.c") for name in ("battery_native", "battery_native_ring")],
            depends=[str(NATIVE / "battery_native_ring.h")],
            py_limited_api=True,  # one for every Python from 3.11
        )
    ],
    cmdclass={"build_ext": BuildIfPossible},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

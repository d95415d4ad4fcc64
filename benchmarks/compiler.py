"""The C programs, built by whatever compiler there is."""

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "c"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


class NoCompiler(Exception):
    """There is none, or it does not take the source; the words say what to do."""


def compiler() -> str:
    """``cc``, ``gcc`` or ``clang``. Raises :class:`NoCompiler`."""
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found:
            return found
    raise NoCompiler(
        "the load client is C, and there is no cc, gcc or clang (Debian, Ubuntu: apt install gcc libc6-dev)"
    )


def build(name: str, scratch: Path) -> Path:
    """Compile ``c/<name>.c`` into ``scratch``; answers the program. Raises :class:`NoCompiler` with the compiler's words."""
    program = scratch / name
    command = [compiler(), *FLAGS, "-o", str(program), str(SOURCES / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"{' '.join(command)}\n{done.stderr}")
    return program

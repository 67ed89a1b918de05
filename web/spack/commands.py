"""What a person copies into a shell: specs, and the commands that use a build cache."""

import re
import shlex

TRUST = "spack buildcache keys --install --trust"

_SHELL_SAFE = re.compile(r"[\w@%+~=:.,/' -]+", re.ASCII)
"""What a shell takes as it is, or, inside of quotes, takes away."""

_HOME = re.compile(r"(?:^|[ =:])~")
"""Where a shell takes `~` and what follows for somebody's home: `~mail` is one of Spack's variants
and a user of many systems."""


def spec_words(spec: str) -> str:
    """Return a spec as it is if a shell leaves it so, else in quotes."""
    if not _SHELL_SAFE.fullmatch(spec) or spec.count("'") % 2:
        return shlex.quote(spec)
    return f'"{spec}"' if _HOME.search(spec) else spec


def add_mirror(name: str, address: str) -> str:
    """Return the command that tells Spack of a build cache."""
    return f"spack mirror add {shlex.quote(name)} {shlex.quote(address)}"


def use_mirror(name: str, address: str) -> str:
    """Return the commands that tell Spack of a build cache and let it trust the binaries."""
    return f"{add_mirror(name, address)}\n{TRUST}"


def install(spec_hash: str) -> str:
    """Return the command that installs a spec's binary, or nothing."""
    return f"spack install --cache-only /{spec_hash}"

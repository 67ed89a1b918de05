"""Which of the sources that were named are to be read."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from etl.errors import WrongUseError
from etl.sources.find import as_text


class Choice(NamedTuple):
    """Which pages to read: those of these releases and packages; empty for all."""

    releases: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @classmethod
    def of(cls, releases: Iterable[str], packages: Iterable[str]) -> "Choice":
        """The choice of somebody at a command line."""
        return cls(tuple(map(as_text, releases)), tuple(map(as_text, packages)))

    def includes(self, release: str | None, package: str | None) -> bool:
        """Whether to read a page of this release and package."""
        return (not self.releases or release in self.releases) and (
            not self.packages or package in self.packages
        )

    def includes_release(self, release: str | None) -> bool:
        """Whether to read an index of this release."""
        return not self.releases or release in self.releases

    def check(self, releases: Collection[str], packages: Collection[str]) -> None:
        """Make sure that all that was asked for is there.

        Raises:
            WrongUseError: there is nothing of a release or package that was asked for.
        """
        for what, wanted, found in (
            ("release", self.releases, releases),
            ("package", self.packages, packages),
        ):
            if missing := sorted({*wanted}.difference(found)):
                raise WrongUseError(f"nothing of {what} {', '.join(missing)} in these paths")

"""The flow of a fetch: lists → indexes → sizes, into a folder that `build` can read at any time."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from etl.build import Progress
from etl.errors import FailedError, WrongUseError
from etl.fetching.addresses import (
    MAX_LIST,
    PUBLIC_LIST,
    Listing,
    Refused,
    Wanted,
    name_of,
    read_argument,
    read_list,
)
from etl.fetching.indexes import Fetcher
from etl.fetching.keeping import Store, opened
from etl.fetching.several import each, run
from etl.fetching.sizes import Asking
from etl.fetching.web import FetchError, Patience, Web
from etl.mirrors import PUBLIC_CACHE
from etl.order import releases_newest_first
from etl.sources.caches.fetched import FetchedIndex
from etl.sources.caches.listing import ROOT
from etl.speaking import counted

JOBS = 8
"""How much is fetched at a time, unless told otherwise."""

_MILLE = 1000
"""Steps of the progress of each index."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to fetch.

    Attributes:
        urls: addresses of lists, caches or indexes; empty for the public list.
        releases: only these releases; empty for all.
        stacks: only these stacks; empty for all.
        sizes: also the sizes of the tarballs.
        jobs: how much is fetched at a time.
        public: address of Spack's public bucket.
        patience: how long to wait for servers.
    """

    urls: tuple[str, ...] = ()
    releases: Collection[str] = ()
    stacks: Collection[str] = ()
    sizes: bool = False
    jobs: int = JOBS
    public: str = PUBLIC_CACHE
    patience: Patience = field(default_factory=Patience)

    def asks_for(self, release: str, stack: str) -> bool:
        """Whether a stack of a release is chosen."""
        return (not self.releases or release in self.releases) and (
            not self.stacks or stack in self.stacks
        )


@dataclass(slots=True)
class Report:
    """What was done.

    Attributes:
        fetched: number of indexes that were fetched.
        bytes: their size.
        unchanged: number of indexes that had not changed.
        failed: number of lists, indexes and files of sizes that could not be fetched whole.
    """

    fetched: int = 0
    bytes: int = 0
    unchanged: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Speech:
    """How to tell what happens.

    Attributes:
        say: called with what is of interest.
        fault: called with each thing that failed, in one line.
        progress: told of each step.
    """

    say: Callable[[str], None]
    fault: Callable[[str], None]
    progress: Progress


def fetch(folder: Path, request: Request, speech: Speech) -> Report:
    """Make a folder hold the newest of the indexes asked for; what did not change is not fetched.

    Args:
        folder: the folder; it is made where it is missing.
        request: what to fetch.
        speech: how to tell what happens.

    Raises:
        WrongUseError: an address is none, or nothing there has the names asked for.
        FailedError: the folder cannot be written, or another run fetches into it.
    """
    urls = request.urls or (f"{request.public}/{PUBLIC_LIST}",)
    asked = [read_argument(url, request.public) for url in urls]
    if folder.exists() and not folder.is_dir():
        raise WrongUseError(f"{folder}: not a folder; name the folder to fetch into")
    try:
        with opened(folder, speech.fault) as store:
            return run(_fetch(store, request, speech, asked))
    except BrokenPipeError:
        # Of whoever listens, not of the folder.
        raise
    except OSError as error:
        name = error.filename or folder
        raise FailedError(f"{name}: cannot be written: {error.strerror}") from None


async def _fetch(
    store: Store, request: Request, speech: Speech, asked: list[Wanted | Listing]
) -> Report:
    async with Web(request.patience, request.jobs) as web:
        fetching = _Fetching(web, store, request, speech)
        found = [await fetching.look_up(one) for one in asked]
        wanted = fetching.chosen([one for part in found for one in part])
        await fetching.fetch_all(wanted)
        if request.sizes:
            await fetching.fetch_sizes(wanted)
        return fetching.report


class _Fetching:
    """One fetch: its steps, which share what they count and say."""

    def __init__(self, web: Web, store: Store, request: Request, speech: Speech) -> None:
        self._web = web
        self._store = store
        self._request = request
        self._speech = speech
        self._is_complete = True
        self.report = Report()

    async def look_up(self, asked: Wanted | Listing) -> list[Wanted]:
        """The indexes that an address stands for; stacks that its list has no more are removed."""
        if isinstance(asked, Wanted):
            return [asked]
        url = asked.url
        self._speech.progress("Reading the list", 0, 0)
        try:
            data = await self._web.read(url, MAX_LIST)
            entries = list(read_list(data, url, self._request.public))
        except FetchError as error:
            self._is_complete = False
            has_old = any(one.listed_by == url for one in self._store.indexes)
            self._failed(f"{url}: {error}", has_old=has_old)
            return []
        for one in entries:
            if isinstance(one, Refused):
                self._refuse(url, one)
        if not self._request.releases and not self._request.stacks:
            self._remove_vanished(url, {one[:2] for one in entries})
        return [one for one in entries if isinstance(one, Wanted)]

    def _failed(self, what: str, *, has_old: bool) -> None:
        self.report.failed += 1
        rest = "the old copy stays" if has_old else "nothing was fetched of it"
        self._speech.fault(f"{what}; {rest}")

    def _refuse(self, url: str, refused: Refused) -> None:
        releases, stacks = self._request.releases, self._request.stacks
        if (not releases or refused.release in releases) and (
            not stacks or not refused.stack or refused.stack in stacks
        ):
            self.report.failed += 1
            self._speech.fault(f"{url}: {refused.message}; it is left out")

    def _remove_vanished(self, url: str, listed: set[tuple[str, str]]) -> None:
        for one in self._store.indexes:
            if one.listed_by == url and (one.release, one.stack) not in listed:
                self._store.forget(one)
                self._speech.say(f"{name_of(one.release, one.stack)}: no longer in {url}; removed")

    def chosen(self, found: list[Wanted]) -> list[Wanted]:
        """Those that are asked for.

        Raises:
            WrongUseError: one of the names asked for is that of none, or one stack is asked for
                at two addresses.
        """
        if self._is_complete:
            _check_names("release", self._request.releases, [one.release for one in found])
            _check_names("stack", self._request.stacks, [one.stack for one in found])
        chosen = {one: None for one in found if self._request.asks_for(one.release, one.stack)}
        times = Counter((one.release, one.stack) for one in chosen)
        for (release, stack), count in times.items():
            if count > 1:
                raise WrongUseError(
                    f"{name_of(release, stack)} is at two of these addresses; "
                    "fetch one of them, or give it another name with NAME=URL"
                )
        return list(chosen)

    async def fetch_all(self, wanted: list[Wanted]) -> None:
        """Fetch indexes, several at a time."""
        if not wanted:
            return
        step = f"Fetching {counted(len(wanted), 'index', 'indexes')}"
        bar = _Bar(self._speech.progress, step, len(wanted))
        fetcher = Fetcher(self._web, self._store, self._request.patience)

        async def one(wanted: Wanted) -> None:
            try:
                size = await fetcher.fetch(wanted, lambda part: bar.tell(wanted, part))
            except FetchError as error:
                has_old = self._store.get(wanted.release, wanted.stack) is not None
                self._failed(f"{wanted.name}: {wanted.url}: {error}", has_old=has_old)
            else:
                self.report.unchanged += size is None
                self.report.fetched += size is not None
                self.report.bytes += size or 0
            bar.tell(wanted, 1)

        await each(wanted, one, self._request.jobs)

    async def fetch_sizes(self, wanted: list[Wanted]) -> None:
        """Fetch the sizes of what is there of these, of a release's whole mirror if it is."""
        indexes = [one for one in (self._store.get(*key[:2]) for key in wanted) if one]
        if of_layout_2 := {one.release for one in indexes if one.layout != 3}:
            releases = ", ".join(releases_newest_first(of_layout_2))
            self._speech.say(f"no sizes of {releases}: layout 2 has no manifests of specs")
        with_manifests = [one for one in indexes if one.layout == 3]
        whole = {one.release for one in with_manifests if one.stack == ROOT}
        for index in with_manifests:
            if index.stack == ROOT or index.release not in whole:
                await self._fetch_sizes_of(index)

    async def _fetch_sizes_of(self, index: FetchedIndex) -> None:
        asking = Asking(self._web, self._store, index, self._request.jobs)
        try:
            total = await asking.count()
            self._speech.say(f"{counted(total, 'manifest')} to fetch for {asking.name}")
            step = f"Fetching sizes of {asking.name}"
            result = await asking.ask(lambda done: self._speech.progress(step, done, total))
        except FetchError as error:
            self.report.failed += 1
            self._speech.fault(f"{asking.name}: {error}; no sizes were fetched")
            return
        if result.missing:
            manifests = counted(result.missing, "manifest")
            self._speech.say(f"{asking.name}: {manifests} of {total:,} not at the mirror")
        if result.failed:
            self.report.failed += 1
            self._speech.fault(
                f"{asking.name}: {result.failed:,} of {counted(total, 'manifest')} failed, "
                f"the first: {result.fault}; fetch again to go on"
            )


def _check_names(what: str, asked: Collection[str], there: Collection[str]) -> None:
    if missing := [name for name in asked if name not in there]:
        names = set(there)
        known = releases_newest_first(names) if what == "release" else sorted(names)
        raise WrongUseError(
            f"no {what} {', '.join(missing)} at these addresses; there are: {', '.join(known)}"
        )


class _Bar:
    """The progress of indexes of unknown size: each is one part of the whole."""

    def __init__(self, progress: Progress, step: str, total: int) -> None:
        self._progress = progress
        self._step = step
        self._total = total * _MILLE
        self._parts: dict[Wanted, int] = {}
        self._done = 0
        self._progress(step, 0, self._total)

    def tell(self, wanted: Wanted, part: float) -> None:
        """Tell how much of an index is there, from 0 to 1; an attempt anew takes nothing back."""
        before = self._parts.get(wanted, 0)
        now = max(before, int(part * _MILLE))
        self._parts[wanted] = now
        if now > before:
            self._done += now - before
            self._progress(self._step, self._done, self._total)

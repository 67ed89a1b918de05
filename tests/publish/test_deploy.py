"""`make publish`: what is handed to each host, and what keeps it from being handed over."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from datasette.inspect import inspect_hash

from publish.cli import main
from publish.deploy import check_room, find_live, recipe_command
from publish.hosts import HOSTS, Kit, Place, _replace, _upload_fly
from publish.live import Live, ask_live
from publish.note import version_note
from publish.site import LICENSE, LOCK, METADATA, PACKAGES, ROOT, WEB, PublishError, pins
from tests.conftest import build
from tests.pages import REAL, SAMPLE
from tests.publish.stand_ins import StandIns

TOOLS = {"cloudrun": "gcloud", "fly": "flyctl", "vercel": "vercel", "heroku": "heroku"}
PLACE = {"SERVICE": "my-site", "PROJECT": "my-project", "REGION": "fra"}
EXACT = re.compile(r"[a-z0-9-]+==[0-9a-z.]+")

SETTINGS_OPTIONS = (
    "--setting default_cache_ttl 3600 --setting facet_time_limit_ms 1000 "
    "--setting force_https_urls on --setting max_csv_mb 0 --setting sql_time_limit_ms 3000 "
    "--setting suggest_facets off"
)


def sign_in(tools: StandIns) -> StandIns:
    """Add the tools of all hosts, signed in, where nothing has been deployed yet."""
    tools.add(*TOOLS.values())
    tools.answer(
        gcloud__config__get={"stdout": "my-project\n"},
        gcloud__run__services__describe={"status": 1, "stderr": "Cannot find service"},
        flyctl__status={"status": 1, "stderr": 'Error: Could not find App "my-site"'},
        heroku__plugins={"stdout": "heroku-builds 0.0.29\n"},
        **{"heroku__apps:list": {"stdout": '[{"name": "another"}]'}},
        **{"heroku__apps:info": {"status": 1}},
    )
    return tools


@pytest.fixture
def hosts(stand_ins: StandIns) -> StandIns:
    """Stand-ins of a test's own."""
    return sign_in(stand_ins)


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, real_database: Path
) -> Callable[[str], StandIns]:
    """What each host got; only for reading."""

    @cache
    def once(host: str) -> StandIns:
        tools = sign_in(StandIns.make(tmp_path_factory.mktemp(host) / "tools"))
        done = deploy(real_database, host, PATH=str(tools.path))
        assert done.returncode == 0, done.stderr
        return tools

    return once


def publish(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as make does, with its variables as environment."""
    return subprocess.run(
        [sys.executable, "-m", "publish", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def deploy(database: Path, host: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Deploy a database of the real pages."""
    return publish("deploy", database, REAL, TARGET=host, **(PLACE | variables))


def files_of(folder: Path, into: str) -> dict[str, Path]:
    """The files of a folder, by where they should be uploaded."""
    return {
        f"{into}/{file.relative_to(folder)}": file
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


COPIED = (
    files_of(WEB / "templates", "templates")
    | files_of(WEB / "plugins", "plugins")
    | files_of(WEB / "static", "static")
    | {"static/LICENSE.txt": LICENSE, "plugins/web/__init__.py": WEB / "__init__.py"}
)
for package in PACKAGES:
    COPIED |= files_of(ROOT / package, f"plugins/{package}")

SITE_FILES = set(COPIED)

UPLOADED = {
    "cloudrun": {"Dockerfile"},
    "fly": {"Dockerfile", "fly.toml"},
    "vercel": {"index.py", "vercel.json", "requirements.txt", "inspect-data.json"},
    "heroku": {"Procfile", "requirements.txt", ".python-version", "bin/post_compile"},
}

CALLS = {
    "cloudrun": [
        "gcloud run services describe my-site --platform=managed --format=value(status.url)",
        "gcloud config get-value project",
        "gcloud services enable artifactregistry.googleapis.com --project my-project --quiet",
        "gcloud artifacts repositories describe datasette --project my-project --location us"
        " --quiet",
        "gcloud builds submit --tag us-docker.pkg.dev/my-project/datasette/datasette-my-site",
        "gcloud run deploy --allow-unauthenticated --platform=managed --image"
        " us-docker.pkg.dev/my-project/datasette/datasette-my-site my-site  --max-instances 1",
    ],
    "fly": [
        "flyctl status --app my-site --json",
        "flyctl status --app my-site --json",
        "flyctl apps create --name my-site --org personal --json",
        "flyctl deploy . --app my-site --config fly.toml --remote-only",
    ],
    "vercel": [
        "vercel link --yes --project my-site",
        "vercel deploy --prod --yes --env DATASETTE_SECRET=SECRET",
    ],
    "heroku": [
        "heroku plugins",
        "heroku apps:info --json -a my-site",
        "heroku plugins",
        "heroku apps:list --json",
        "heroku apps:create my-site --json",
        "heroku builds:create -a my-site --include-vcs-ignore",
    ],
}


def without_secret(text: str) -> str:
    """Put a word in place of the random secret."""
    return re.sub(r"\b[0-9a-f]{64}\b", "SECRET", text)


@pytest.mark.parametrize("host", HOSTS)
def test_everything_the_site_needs_is_uploaded(
    host: str, deployed: Callable[[str], StandIns], real_database: Path
) -> None:
    hosts = deployed(host)
    assert [" ".join(without_secret(call).split()) for call in hosts.calls()] == [
        " ".join(call.split()) for call in CALLS[host]
    ]
    upload = hosts.upload
    assert hosts.uploaded() == SITE_FILES | UPLOADED[host] | {"spack-cache.db", "metadata.json"}
    assert not any(file.is_symlink() for file in upload.rglob("*"))
    assert (upload / "spack-cache.db").read_bytes() == real_database.read_bytes()
    for file, source in COPIED.items():
        assert (upload / file).read_bytes() == source.read_bytes()
    metadata = json.loads((upload / "metadata.json").read_text())
    assert metadata == yaml.safe_load(METADATA.read_text())


@pytest.mark.parametrize(("host", "port"), [("cloudrun", 8001), ("fly", 8080)])
def test_the_dockerfile(
    host: str, port: int, deployed: Callable[[str], StandIns], real_database: Path
) -> None:
    hosts = deployed(host)
    note = version_note(real_database, [REAL])
    assert without_secret((hosts.upload / "Dockerfile").read_text()).splitlines() == [
        "FROM python:3.11.0-slim-bullseye",
        "COPY . /app",
        "WORKDIR /app",
        "",
        "ENV DATASETTE_SECRET 'SECRET'",
        f"RUN pip install -U datasette {' '.join(pins())}",
        "RUN datasette inspect spack-cache.db --inspect-file inspect-data.json",
        f"ENV PORT {port}",
        f"EXPOSE {port}",
        "CMD datasette serve --host 0.0.0.0 -i spack-cache.db --cors --inspect-file"
        " inspect-data.json --metadata metadata.json --template-dir templates/ --plugins-dir"
        f" plugins/ --version-note {note} --static static:static {SETTINGS_OPTIONS} --port $PORT",
    ]


def test_google_is_told_project_and_region(deployed: Callable[[str], StandIns]) -> None:
    hosts = deployed("cloudrun")
    told = {
        (
            call["environment"]["CLOUDSDK_CORE_PROJECT"],
            call["environment"]["CLOUDSDK_RUN_REGION"],
            call["environment"]["CLOUDSDK_CORE_DISABLE_PROMPTS"],
        )
        for call in hosts.raw_calls()
    }
    assert told == {("my-project", "fra", "1")}


def test_fly_runs_it_in_the_region(deployed: Callable[[str], StandIns]) -> None:
    start = (deployed("fly").upload / "fly.toml").read_text().lstrip()
    assert start.startswith('app = "my-site"\nprimary_region = "fra"\n')


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        ({"stdout": '{"Hostname": ""}'}, ["status", "deploy"]),
        ({"status": 1, "stderr": 'Could not find App "my-site"'}, ["status", "apps", "deploy"]),
    ],
)
def test_fly_is_only_asked_to_make_what_it_has_not(
    status: dict[str, Any], calls: list[str], hosts: StandIns, tmp_path: Path
) -> None:
    hosts.answer(flyctl__status=status)
    (tmp_path / "made").mkdir()
    _upload_fly(tmp_path / "made", Place("my-site", "", "fra"))
    assert [call.split()[1] for call in hosts.calls()] == calls


def test_an_error_of_fly_is_not_taken_for_a_missing_app(hosts: StandIns, tmp_path: Path) -> None:
    hosts.answer(flyctl__status={"status": 1, "stderr": "not signed in"})
    with pytest.raises(PublishError, match=r"^flyctl status: not signed in$"):
        _upload_fly(tmp_path, Place("my-site", "", "fra"))
    assert len(hosts.calls()) == 1


def test_no_real_tool_can_be_found(hosts: StandIns) -> None:
    found = {tool: shutil.which(tool) for tool in (*TOOLS.values(), "docker", "podman", "now")}
    assert {tool for tool, path in found.items() if path} == set(TOOLS.values())
    assert {str(Path(path).parent) for path in found.values() if path} == {str(hosts.path)}


def test_heroku_inspects_the_database_with_a_python_it_has(
    deployed: Callable[[str], StandIns], real_database: Path
) -> None:
    hosts = deployed("heroku")
    assert (hosts.upload / "bin" / "post_compile").read_text() == (
        "#!/bin/sh\ndatasette inspect spack-cache.db --inspect-file inspect-data.json\n"
    )
    assert (hosts.upload / ".python-version").read_text() == "3.13\n"
    note = version_note(real_database, [REAL])
    assert (hosts.upload / "Procfile").read_text() == (
        "web: datasette serve --host 0.0.0.0 -i spack-cache.db --cors --port $PORT --inspect-file"
        f" inspect-data.json --template-dir templates/ --plugins-dir plugins/ --version-note {note}"
        f" --metadata metadata.json {SETTINGS_OPTIONS} --static static:static"
    )


def test_vercel_gets_inspect_data_note_and_settings(
    deployed: Callable[[str], StandIns], real_database: Path
) -> None:
    hosts = deployed("vercel")
    inspected = json.loads((hosts.upload / "inspect-data.json").read_text())
    assert inspected["spack-cache"]["hash"] == inspect_hash(real_database)
    assert json.loads((hosts.upload / "vercel.json").read_text()) == {
        "version": 2,
        "builds": [{"src": "index.py", "use": "@vercel/python@4.6.0"}],
        "routes": [{"src": "(.*)", "dest": "index.py"}],
    }
    script = (
        "import json, index; ds = index.ds; "
        "print(json.dumps([ds.version_note, ds.inspect_data, ds.setting('force_https_urls'),"
        " ds.setting('suggest_facets'), ds.setting('max_csv_mb'), ds.plugins_dir,"
        " ds.template_dir, sorted(ds.databases)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=hosts.upload,
        capture_output=True,
        text=True,
        check=True,
    )
    note = version_note(real_database, [REAL])
    assert json.loads(done.stdout) == [
        *(note, inspected, True, False, 0, "plugins", "templates", ["_internal", "spack-cache"]),
    ]


@pytest.mark.parametrize("host", HOSTS)
def test_every_version_is_exact(host: str, deployed: Callable[[str], StandIns]) -> None:
    hosts = deployed(host)
    if host in {"cloudrun", "fly"}:
        (line,) = re.findall(r"RUN pip install -U (.*)", (hosts.upload / "Dockerfile").read_text())
        # The recipe itself names datasette; the exact version stands beside it.
        bare, *installed = line.split()
        assert bare == "datasette"
    else:
        installed = (hosts.upload / "requirements.txt").read_text().split()
    own = {"pysqlite3-binary==0.5.4.post2"} if host == "vercel" else set()
    locked = set(re.findall(r"^[a-z0-9-]+==[^ ]+", LOCK.read_text(), re.MULTILINE))
    assert set(installed) == locked | own
    assert [pin for pin in installed if not EXACT.fullmatch(pin)] == []


@pytest.mark.parametrize(
    "line", ["datasette>=0.65.5", "datasette", "datasette==0.65.*", "x==1 ; python_version < '3'"]
)
def test_a_loose_line_of_the_lock_file_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"aiofiles==25.1.0 \\\n    --hash=sha256:0\n{line} \\\n    --hash=sha256:0\n")
    monkeypatch.setattr("publish.site.LOCK", lock)
    with pytest.raises(PublishError, match=re.escape(f"not of the form name==version: {line}")):
        list(pins())


@pytest.mark.parametrize(
    ("host", "missing"),
    [
        ("cloudrun", ["SERVICE", "PROJECT", "REGION"]),
        ("fly", ["SERVICE", "REGION"]),
        ("vercel", ["SERVICE"]),
        ("heroku", ["SERVICE"]),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    host: str, missing: list[str], stand_ins: StandIns
) -> None:
    done = publish("check", TARGET=host)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"Error: Nothing was published to {HOSTS[host].title}:",
        *(f"- {name} is not set: make publish TARGET={host} {name}=…" for name in missing),
        f"- {TOOLS[host]} is not installed, or not on PATH: {HOSTS[host].get_tool}",
    ]
    assert stand_ins.calls() == []


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_is_missing(host: str, hosts: StandIns) -> None:
    done = publish("check", TARGET=host, **PLACE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_googles_own_variables_will_do(hosts: StandIns) -> None:
    own = {"CLOUDSDK_CORE_PROJECT": "my-project", "CLOUDSDK_RUN_REGION": "fra"}
    assert publish("check", SERVICE="my-site", **own).returncode == 0


def test_a_name_that_a_shell_would_read_is_refused(hosts: StandIns) -> None:
    done = publish("check", **(PLACE | {"SERVICE": "a; reboot"}))
    assert "- SERVICE can have a-z, 0-9 and hyphens inside: a; reboot" in done.stderr
    assert done.returncode == 1


def test_herokus_own_plugin_is_missed(hosts: StandIns) -> None:
    hosts.answer(heroku__plugins={"stdout": "no plugins installed"})
    done = publish("check", TARGET="heroku", SERVICE="my-site")
    assert "heroku plugins:install heroku-builds" in done.stderr


def test_datasettes_plugin_is_missed(hosts: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    fly = replace(HOSTS["fly"], plugin="datasette_publish_nowhere")
    monkeypatch.setattr("publish.cli.HOSTS", {"fly": fly})
    done = CliRunner().invoke(main, ["check", "--target", "fly"], env=PLACE)
    assert done.exit_code == 1
    assert "pip install datasette-publish-nowhere" in done.output


def test_a_database_that_is_not_what_the_pages_say_is_not_published(
    hosts: StandIns, real_database: Path, tmp_path: Path
) -> None:
    pages = tmp_path / "pages"
    shutil.copytree(REAL, pages)
    shutil.rmtree(next((pages / "develop").iterdir()))
    done = publish("deploy", real_database, pages, **PLACE)
    assert done.returncode == 1
    assert done.stderr.endswith(
        f"Error: {real_database} is not published, since it is not what {pages} says.\n"
    )
    assert hosts.calls() == []


def test_each_source_is_compared(hosts: StandIns, tmp_path: Path) -> None:
    sources = [f"mine={SAMPLE / 'develop/e4s'}", str(REAL)]
    database = build(tmp_path / "spack-cache.db", *sources)
    done = publish("deploy", database, *sources, **PLACE)
    assert (done.returncode, done.stderr.count("Error")) == (0, 0)

    done = publish("deploy", database, *sources[:1], **PLACE)
    assert done.returncode == 1
    assert f"since it is not what {sources[0]} says.\n" in done.stderr

    done = publish("deploy", database, f"mine={tmp_path / 'gone'}", **PLACE)
    assert done.returncode == 2
    assert f"{tmp_path / 'gone'} does not exist." in done.stderr


def test_a_missing_database_is_said(hosts: StandIns, tmp_path: Path) -> None:
    done = publish("deploy", tmp_path / "spack-cache.db", REAL, **PLACE)
    assert done.returncode == 1
    assert done.stderr == f"Error: There is no {tmp_path}/spack-cache.db. Build it first: make\n"


def test_a_database_of_another_name_is_refused(
    hosts: StandIns, real_database: Path, tmp_path: Path
) -> None:
    shutil.copy(real_database, tmp_path / "other.db")
    done = publish("deploy", tmp_path / "other.db", REAL, **PLACE)
    assert done.stderr.startswith("Error: The site needs its database to be called spack-cache.db")


def test_a_database_that_is_too_large_is_refused_with_what_would_fit(made_database: Path) -> None:
    size = made_database.stat().st_size
    # Of 11 specs and 52 entries develop has 9 and 28, the next two 3 and 9, v0.23.1 2 and 6.
    for share, fitting in (
        (1.2, None),
        (0.99, "make pages RELEASES='develop'"),
        (0.8, "make pages RELEASES='develop-2025-07-13 develop-2025-07-06 v0.23.1'"),
        (0.21, "make pages RELEASES='v0.23.1'"),
        (0.01, "No release alone would fit."),
    ):
        host = replace(HOSTS["vercel"], room=int(share * size))
        if fitting is None:
            check_room(host, made_database)
            continue
        with pytest.raises(PublishError) as error:
            check_room(host, made_database)
        assert str(error.value).startswith(f"{made_database} has {size / 1e6:.1f} MB, and Vercel")
        assert fitting in str(error.value)


class Server(HTTPServer):
    """A published copy that only says how it is."""

    facts: dict[str, Any]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def live() -> Iterator[Server]:
    """A published copy with another database."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/-/health"
            body = json.dumps(server.facts).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    server.facts = {"hash": "0" * 64, "version_note": "project:000000000000"}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


TOLD = [
    ("cloudrun", {"gcloud__run__services__describe": "{address}\n"}),
    ("heroku", {"heroku__apps:info": '{{"app": {{"web_url": "{address}/"}}}}'}),
]


@pytest.mark.parametrize(("host", "told"), TOLD)
def test_the_hosts_tool_tells_where_a_copy_is_live(
    host: str, told: dict[str, str], hosts: StandIns, live: Server
) -> None:
    answers = {
        command: {"stdout": answer.format(address=live.address)} for command, answer in told.items()
    }
    hosts.answer(**answers)
    found = find_live(HOSTS[host], Place(**{key.lower(): word for key, word in PLACE.items()}), "")
    assert found == Live(live.address, "0" * 64, "project:000000000000")


@pytest.mark.parametrize("host", HOSTS)
def test_what_cannot_be_found_is_not_live(host: str, hosts: StandIns) -> None:
    assert find_live(HOSTS[host], Place("my-site", "my-project", "fra"), "") is None
    hosts.answer(gcloud={"stdout": "\n"}, flyctl={"stdout": "{}"}, heroku={"stdout": "[]"})
    assert find_live(HOSTS[host], Place("my-site", "my-project", "fra"), "") is None


def test_what_is_no_copy_is_not_live(live: Server) -> None:
    live.facts = {}
    assert ask_live(live.address) is None
    live.facts = {"hash": "0", "version_note": None}
    assert ask_live(f"{live.address}/") == Live(live.address, "0", None)
    assert ask_live("file:///etc/passwd") is None
    live.shutdown()
    live.server_close()
    assert ask_live(live.address) is None


def test_what_is_live_already_is_not_deployed_again(
    hosts: StandIns, live: Server, real_database: Path
) -> None:
    live.facts["hash"] = inspect_hash(real_database)
    done = deploy(real_database, "cloudrun", LIVE=live.address)
    assert done.returncode == 0
    assert done.stdout == (
        f"{live.address} serves this database already (project:000000000000); "
        "FORCE=1 publishes it all the same.\n"
    )
    assert not hosts.upload.exists()
    deploy(real_database, "cloudrun", LIVE=live.address, FORCE="1")
    assert hosts.upload.exists()


def test_another_database_is_deployed(hosts: StandIns, live: Server, real_database: Path) -> None:
    done = deploy(real_database, "cloudrun", LIVE=live.address)
    assert done.returncode == 0
    assert hosts.upload.exists()


@pytest.mark.parametrize(
    ("host", "failing", "said"),
    [
        ("fly", "flyctl__deploy", "Failed with status 3: flyctl deploy ."),
        ("vercel", "vercel__deploy", "Failed with status 3: vercel deploy --prod"),
        ("heroku", "heroku__builds:create", "Failed with status 3: heroku builds:create -a"),
    ],
)
def test_an_upload_that_fails_is_an_error(
    host: str, failing: str, said: str, hosts: StandIns, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    hosts.answer(**{failing: {"status": 3}})
    upload = HOSTS[host].upload
    assert upload
    with pytest.raises(PublishError, match=f"^{re.escape(said)}$"):
        upload(made, Place("my-site", "", "fra"))


def test_a_recipe_that_fails_is_an_error(hosts: StandIns, real_database: Path) -> None:
    hosts.answer(gcloud__builds={"status": 1})
    done = deploy(real_database, "cloudrun")
    assert done.returncode == 1
    assert done.stderr.endswith("Error: datasette publish cloudrun failed.\n")


def test_more_options_are_passed_on(tmp_path: Path) -> None:
    place = Place("my-site", "my-project", "fra", ("--memory", "1Gi"))
    command = recipe_command(HOSTS["cloudrun"], place, Kit(tmp_path, "note"), tmp_path)
    assert command[-2:] == ["--memory", "1Gi"]


def test_options_that_no_shell_would_take(tmp_path: Path, real_database: Path) -> None:
    command = ["deploy", str(real_database), str(tmp_path), "--options", '"']
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2
    assert done.output.endswith("'\"': No closing quotation; close every quote.\n")


def test_a_recipe_that_has_changed_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "index.py"
    file.write_text("ds = Datasette(cors=False)\n")
    with pytest.raises(PublishError, match="The recipe has changed"):
        _replace(file, "cors=True", "")

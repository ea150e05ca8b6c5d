"""A real JupyterLab and a real browser: Debian's Chromium (or the one named in SDNB_CHROMIUM),
driven by Playwright. Where there is none the tests are skipped, unless CI is set."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SETTINGS = {  # nothing is fetched and nothing pops up
    "notification": {"fetchNews": "false", "checkForUpdates": False},
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SLOW = 300  # seconds that a cell may take on a busy machine


def find_chromium() -> str | None:
    return os.environ.get("SDNB_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="session")
def chromium() -> str:
    found = find_chromium()
    if not found:
        reason = "no Chromium here: `apt install chromium`, or name one in SDNB_CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return found


@pytest.fixture(scope="session")
def browser(chromium):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


class Lab:
    """A JupyterLab of its own: copies of the notebooks, an empty project, no settings of ours."""

    def __init__(self, folder: Path, theme: str) -> None:
        self.folder, self.token, port = folder, secrets.token_hex(8), free_port()
        self.url = f"http://127.0.0.1:{port}"
        shutil.copytree(CHECKOUT / "notebooks", folder / "notebooks", dirs_exist_ok=True)
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        for name, values in (SETTINGS | {"themes": {"theme": theme}}).items():
            (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += [f"--port={port}", f"--IdentityProvider.token={self.token}"]
        command += [f"--ServerApp.root_dir={folder / 'notebooks'}"]
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "SDNB_PROFILE": "mini",
            "SDNB_PROJECT": str(folder / "project"),
        }
        self.log = (folder / "lab.log").open("w")
        self.server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=self.log
        )

    def wait(self, seconds: float = 60) -> None:
        """Until it answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api?token={self.token}")
                return
            except OSError:
                if time.monotonic() > end or self.server.poll() is not None:
                    raise AssertionError(Path(self.log.name).read_text()) from None
                time.sleep(0.2)

    def close(self) -> None:
        """Ask the server to end: it takes its kernels along."""
        request = urllib.request.Request(
            f"{self.url}/api/shutdown?token={self.token}", method="POST"
        )
        try:
            urllib.request.urlopen(request)
            self.server.wait(60)
        finally:
            self.server.kill()
            self.log.close()


class Page:
    """A notebook open in the browser, with all that its console said."""

    def __init__(self, browser, lab: Lab, name: str, pictures: Path) -> None:
        self.view = browser.new_page(viewport={"width": 1024, "height": 1100})
        self.view.set_default_timeout(60_000)
        self.said, self.pictures = [], pictures
        self.view.on("console", lambda message: self.said.append((message.type, message.text)))
        self.view.on("pageerror", lambda error: self.said.append(("error", str(error))))
        self.view.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}")
        self.view.get_by_text("| Idle").wait_for()  # the kernel is there

    @property
    def errors(self) -> list[str]:
        return [text for kind, text in self.said if kind == "error"]

    def cell(self, source: str):
        """The code cell that begins with `source`."""
        editor = self.view.locator(".jp-InputArea", has_text=source)
        return self.view.locator(".jp-CodeCell", has=editor).first

    def start(self, source: str) -> None:
        """Begin running a cell, as a learner does: click into it, Shift+Enter."""
        self.cell(source).locator(".cm-content").click()
        self.view.keyboard.press("Shift+Enter")

    def run(self, source: str):
        """Run a cell to its end; returns the cell."""
        self.start(source)
        return self.wait(source)

    def wait(self, source: str):
        prompt = self.cell(source).locator(".jp-InputArea-prompt")
        done = "e => /^\\[\\d+\\]:$/.test(e.innerText.trim())"
        self.until(lambda: prompt.evaluate(done), f"the cell {source!r} is through")
        assert self.cell(source).locator("[data-mime-type*=stderr] .jp-RenderedText").count() == 0
        return self.cell(source)

    def until(self, true, what: str, seconds: float = SLOW):
        """Wait for something that the page does by itself, and give back what it was."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = true()
            if found:
                return found
            self.view.wait_for_timeout(100)
        self.shoot("given-up")
        pytest.fail(f"after {seconds:.0f} s it is still not so that {what}")

    def shoot(self, name: str) -> None:
        """A screenshot for people to look at."""
        self.view.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture
def open_notebook(browser, tmp_path):
    """Call with a notebook's name and a theme: a JupyterLab is started, the notebook opened."""
    pictures = Path(os.environ.get("SDNB_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    labs = []

    def open_(name: str, theme: str = "JupyterLab Light") -> Page:
        labs.append(Lab(tmp_path, theme))
        labs[-1].wait()
        return Page(browser, labs[-1], name, pictures)

    yield open_
    for lab in labs:
        lab.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

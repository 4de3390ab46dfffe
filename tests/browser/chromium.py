"""Debian's Chromium, driven through chromedriver's own protocol (W3C WebDriver: JSON over HTTP). Nothing to install beside it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def installed() -> bool:
    """Whether Chromium and its driver are on this machine."""
    return all(shutil.which(name) for name in ("chromium", "chromedriver"))


class Browser:
    """One headless window with an empty profile, for a `with` block; downloads go into `downloads`."""

    def __init__(self, downloads: Path, width: int = 1200, height: int = 900, dark: bool = False, telephone: bool = False):
        self.downloads, self.profile = downloads, tempfile.mkdtemp(prefix="chromium-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        options = {
            "args": [*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]
            + ["--blink-settings=preferredColorScheme=0"] * dark,
            "prefs": {"download.default_directory": str(downloads), "download.prompt_for_download": False},
        }
        if telephone:
            options["mobileEmulation"] = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2.0}}
        self.capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "pageLoadStrategy": "normal",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }

    def __enter__(self) -> Browser:
        self.process = subprocess.Popen(["chromedriver", f"--port={self.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                self.ask("GET", "/status")
                break
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.__exit__()
                    raise RuntimeError("chromedriver does not answer") from None
                time.sleep(0.1)
        try:
            session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": self.capabilities}})
        except BaseException:
            self.__exit__()
            raise
        self.at = f"/session/{session['sessionId']}"
        return self

    def __exit__(self, *_) -> None:
        if hasattr(self, "at"):
            self.ask("DELETE", self.at)
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)

    def ask(self, method: str, path: str, body: dict | None = None):
        """One command of the protocol; RuntimeError with the driver's message when it fails."""
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=90) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, page: Path) -> None:
        """Open a file; returns when it has loaded."""
        self.ask("POST", f"{self.at}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments):
        """What a script (the body of a function) returns."""
        return self.ask("POST", f"{self.at}/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """A real click on the first element of a CSS selector, scrolled into view before."""
        element = self.ask("POST", f"{self.at}/element", {"using": "css selector", "value": selector})
        key = next(iter(element.values()))
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center', behavior: 'instant'})", selector)
        self.ask("POST", f"{self.at}/element/{key}/click")

    def wait(self, script: str, *arguments, seconds: float = 10):
        """Run a script until it returns something true; that is returned. AssertionError after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            found = self.run(script, *arguments)
            if found:
                return found
            assert time.monotonic() < end, f"never true within {seconds} s: {script}"
            time.sleep(0.05)

    def console(self) -> list[str]:
        """Errors and warnings of the page's console since the last call."""
        log = self.ask("POST", f"{self.at}/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Every address that was asked for since the last call."""
        log = self.ask("POST", f"{self.at}/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in log]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path: Path) -> None:
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.ask("GET", f"{self.at}/screenshot")))

"""The page in a real browser: Debian's Chromium, driven by its chromedriver, against the real daemon.

    /usr/bin/python3 -m pytest -q tests/web        pictures of what was seen are left in build/test/web

Each test ends with a look at the browser's console: an error there, a violation of the page's policy included, fails it.
"""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from e2e.conftest import Digits, built, cluster, daemons, digits, new_db, postgres, seven, trained_db  # noqa: F401: fixtures
from e2e.daemon import ROOT, Daemon

from .page import Page

PICTURES = ROOT / "build" / "test" / "web"


def chromium(profile: Path, *flags: str):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("headless=new", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", "disable-background-networking",
                 "force-color-profile=srgb", "lang=en-GB", "host-resolver-rules=MAP cam.example 127.0.0.1", "force-device-scale-factor=1", f"user-data-dir={profile}", *flags):
        options.add_argument(f"--{flag}")
    if os.geteuid() == 0:  # Chromium's own sandbox refuses to be root's
        options.add_argument("--no-sandbox")
    options.accept_insecure_certs = True  # self-signed ones, of test_proxies.py
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    PICTURES.mkdir(parents=True, exist_ok=True)
    return driver


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    driver = chromium(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, daemons, console) -> Page:  # noqa: F811
    """The page of a model that has seen the examples once."""
    return opened(driver, daemons.start(daemons.copy()))


@pytest.fixture
def open_page(driver, console):
    """For tests whose daemon is another one."""
    return lambda daemon: opened(driver, daemon)


def opened(driver, daemon: Daemon) -> Page:
    page = Page(driver, daemon, PICTURES)
    page.size(1280, 900)
    page.scheme("light")
    page.open()
    return page


@pytest.fixture
def console(driver, daemons):  # noqa: F811: while these still run
    """What a test has made fail on purpose, it has taken from the log itself: Page.console()."""
    driver.get_log("browser")
    yield
    left = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    driver.get("about:blank")
    assert not left, left

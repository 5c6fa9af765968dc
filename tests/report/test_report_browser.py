"""A report in a browser: a point is clicked, the structure changes, and no request leaves the machine.

The browser is Debian's (apt-get install chromium chromium-driver). Where ASE_SCHNET_NEEDS_BROWSER is set, as
in .ci/run, a machine without one fails these tests in place of skipping them.
"""

import json
import os
import shutil
import time

import numpy as np
import pytest
from ase.build import molecule
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ase_schnet.report.page import Page, Section
from ase_schnet.report.viewer import Property, Structures

pytestmark = pytest.mark.slow

BROWSERS, DRIVER = ("chromium", "chromium-browser", "google-chrome"), "chromedriver"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--no-first-run", "--window-size=1200,900"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-quic", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),  # WebGL, no GPU
)
PATIENCE_S = 120.0  # a busy machine draws WebGL with its processor
N_FRAMES = 5000
#: Position of a point on the screen, from the axes of the map.
POINT = """
const host = [...document.querySelectorAll(".map *")].find((each) => each.shadowRoot);
const plot = host.shadowRoot.querySelector(".js-plotly-plot");
const place = plot.getBoundingClientRect(), { xaxis, yaxis } = plot._fullLayout;
return [place.x + xaxis._offset + xaxis.l2p(arguments[0]), place.y + yaxis._offset + yaxis.l2p(arguments[1])];
"""
NUMBER = """
const host = [...document.querySelectorAll(".info *")].find((each) => each.shadowRoot);
return Number(host.shadowRoot.querySelector("input[type=number]").value);
"""
PICTURE = 'return document.querySelector(".viewer").viewer.structure.exportActivePNG();'


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    if program is None or driver is None:
        cure = "no Chromium with its driver: apt-get install chromium chromium-driver"
        assert not os.environ.get("ASE_SCHNET_NEEDS_BROWSER"), cure
        pytest.skip(cure)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.set_page_load_timeout(PATIENCE_S)
    started.set_script_timeout(PATIENCE_S)
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """As many frames of ethanol as the requirement says, far apart on the map: y falls with x."""
    rng = np.random.default_rng(0)
    atoms = molecule("CH3CH2OH")
    frames = [atoms.copy() for _ in range(N_FRAMES)]
    for frame in frames:
        frame.positions += rng.normal(0, 0.1, (9, 3))
    time_ps = np.arange(N_FRAMES) / 1000
    of_frames = {"time": Property(time_ps, "ps"), "std": Property(-time_ps, "meV")}
    of_atoms = {"forces_std": Property(rng.random(9 * N_FRAMES), "eV/Å")}
    shown = Structures("Frames", frames, of_frames, of_atoms, "time", "std", "std", joined=True)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(Page("Ethanol", [], [], [Section("Frames", [shown])]).html("now"))
    return path


def wait_until(met, what: str):
    end = time.monotonic() + PATIENCE_S
    while not (found := met()):
        assert time.monotonic() < end, f"after {PATIENCE_S:g} s still not {what}"
        time.sleep(0.1)
    return found


def click(browser, x: float, y: float) -> None:
    where = {"x": x, "y": y, "button": "left", "clickCount": 1}
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **where})
        time.sleep(0.3)  # the map looks for the point under the pointer


def cpu_seconds(browser) -> float:
    browser.execute_cdp_cmd("Performance.enable", {})
    found = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(each["value"] for each in found if each["name"] == "ProcessTime")


def test_a_click_on_a_point_shows_its_structure_and_no_request_leaves_the_machine(browser, page):
    assert page.stat().st_size < 10e6
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(page.as_uri())
    viewer = "document.querySelector('.viewer')"
    wait_until(lambda: browser.execute_script(f"return {viewer}.dataset.loadedMs"), "loaded")
    assert (
        cpu_seconds(browser) < 3.0
    )  # of the page's process, which no other work on the machine lengthens
    assert browser.execute_script(f"return {viewer}.querySelector('.trouble').textContent") == ""
    assert browser.execute_script(NUMBER) == 0
    before = browser.execute_script(PICTURE)
    chosen = 2000
    click(browser, *browser.execute_script(POINT, chosen / 1000, -chosen / 1000))
    wait_until(lambda: browser.execute_script(NUMBER) != 0, "another structure")
    assert browser.execute_script(NUMBER) == pytest.approx(
        chosen, abs=30
    )  # 5000 points on 400 pixels
    wait_until(lambda: browser.execute_script(PICTURE) != before, "another picture")
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith((page.as_uri(), "data:", "blob:"))] == []
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []

"""Headless Chromium for tests: what is installed, nothing downloaded, nothing kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, and show only what they wrote themselves
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _missing() -> str | None:
    if find_spec("selenium") is None:
        return "selenium is not installed: pip install 'limrank[dev]'"
    if not any(map(shutil.which, _BROWSERS)) or shutil.which("chromedriver") is None:
        return "no Chromium with its driver: apt-get install chromium chromium-driver"
    return None


needs_chromium = pytest.mark.skipif(_missing() is not None, reason=_missing() or "Chromium is there")


@contextmanager
def chromium(profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[Any]:
    """A selenium driver of a browser with an empty profile."""
    # Both paths are given: selenium's manager, which would look for downloads, has nothing to do.
    os.environ["SE_OFFLINE"] = "true"
    os.environ["SE_AVOID_STATS"] = "true"
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = next(found for found in map(shutil.which, _BROWSERS) if found)
    for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        # What a page shows must not depend on the window's frame.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


# WCAG 2's ratio of every visible text to the opaque ground under it; 4.5 is what AA asks.
POOR_CONTRAST = """
const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const poor = [];
const root = document.querySelector('dialog[open]') ?? document.body;
for (const node of root.querySelectorAll('*')) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!own || !node.checkVisibility() || node.matches('option, dialog:not([open]) *')) continue;
  const under = ground(node);
  const opacity = Number(getComputedStyle(node).opacity);
  const color = parse(getComputedStyle(node).color).map((c, i) => c * opacity + under[i] * (1 - opacity));
  const [low, high] = [light(color), light(under)].sort((a, b) => a - b);
  const ratio = (high + .05) / (low + .05);
  if (ratio < 4.5) poor.push(`${node.tagName}#${node.id}.${node.className} ${ratio.toFixed(2)}`);
}
return poor;
"""

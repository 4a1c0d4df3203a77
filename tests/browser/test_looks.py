"""For everybody: phone and desktop, light and dark, keyboard and screen reader, paper."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.visit import Finished, Visit

PHONE = {"viewport": {"width": 320, "height": 640}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": PHONE,
    "phone-dark": {**PHONE, "color_scheme": "dark"},
}

# Texts below the contrast that WCAG AA asks for, as "ratio text"; the background is the nearest opaque one.
LOW_CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const backgroundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    if (element.closest(".visually-hidden, .skip-link, template, dialog:not([open])")) continue;
    const style = getComputedStyle(element);
    const [bright, dark] = [luminance(parse(style.color)), luminance(backgroundOf(element))].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${walker.currentNode.textContent.trim()}`);
  }
  return low;
}"""

# What axe would find first: nameless controls, pictures without alt, double ids, headings that skip, no landmarks.
FAULTS = """() => {
  const faults = [];
  const isShown = (element) => element.checkVisibility();
  const name = (element) => (element.getAttribute("aria-label") || element.textContent
    || [...(element.labels || [])].map((label) => label.textContent).join("") || element.title || "").trim();
  for (const element of document.querySelectorAll("a[href], button, input, summary, [role=button]"))
    if (isShown(element) && !name(element)) faults.push(`no name: ${element.outerHTML.slice(0, 120)}`);
  for (const image of document.querySelectorAll("img"))
    if (!image.hasAttribute("alt")) faults.push(`no alt: ${image.outerHTML.slice(0, 120)}`);
  for (const bar of document.querySelectorAll("progress"))
    if (isShown(bar) && !bar.getAttribute("aria-label")) faults.push("a progress bar without a name");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) faults.push(`id twice: ${id}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) faults.push(`heading skips from ${level} to ${now}: ${heading.textContent}`);
    level = now;
  }
  if (document.querySelectorAll("h1").length !== 1) faults.push("not exactly one h1");
  if (!document.documentElement.lang) faults.push("no language");
  for (const landmark of ["main", "header", "footer", "nav"])
    if (!document.querySelector(landmark)) faults.push(`no ${landmark}`);
  for (const element of document.querySelectorAll("[tabindex]"))
    if (element.tabIndex > 0) faults.push(`tabindex above 0: ${element.outerHTML.slice(0, 120)}`);
  return faults;
}"""


# The focused element when neither it nor what stands for it on screen (its zone, its label's text) is outlined.
FOCUS_WITHOUT_OUTLINE = """() => {
  const at = document.activeElement;
  if (at === document.body) return null;
  const near = [at, at.nextElementSibling, at.parentElement].filter(Boolean);
  return near.some((element) => getComputedStyle(element).outlineStyle === "solid") ? null : at.outerHTML.slice(0, 200);
}"""


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_reads_well_and_is_labelled(
    new_visit: Callable[..., Visit], finished: Finished, keep_screenshot: Callable[..., None], look: str
) -> None:
    visit = new_visit(storage_state=finished.cookies, **LOOKS[look])
    visit.expected.append("404")
    page = visit.page
    for name, path in {"home": "/", "result": finished.path, "history": "/conversions", "missing": "/nothing"}.items():
        page.goto(path)
        keep_screenshot(page, f"{look}-{name}", full_page=name != "result")
        assert not visit.is_scrolling_sideways(), f"{path} scrolls sideways"
        assert page.evaluate(LOW_CONTRAST) == [], path
        assert page.evaluate(FAULTS) == [], path


def test_the_dark_look_is_dark(new_visit: Callable[..., Visit]) -> None:
    def ground(**options: Any) -> int:
        visit = new_visit(**options)
        visit.page.goto("/")
        colour = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    assert ground(color_scheme="dark") < 150 < 600 < ground(color_scheme="light")


def test_the_focus_is_always_visible(owner: Visit, finished: Finished) -> None:
    for path in ("/", finished.path, "/conversions"):
        owner.page.goto(path)
        for _ in range(16):
            owner.page.keyboard.press("Tab")
            hidden = owner.page.evaluate(FOCUS_WITHOUT_OUTLINE)
            assert hidden is None, f"{path}: {hidden}"


def test_paper_gets_the_result_without_the_controls(owner: Visit, keep_screenshot: Callable[..., None]) -> None:
    owner.page.emulate_media(media="print")
    assert owner.page.locator(".coverage-figure").is_visible()
    assert not owner.page.locator(".ledger-filter").is_visible()
    assert not owner.page.locator(".site-header nav").is_visible()
    keep_screenshot(owner.page, "print")

"""Pages in a browser of 2021, in a process of its own: some calls it never answers, and nothing else would end them.

    python old_pages.py CHROMIUM URL PASSWORD PATH...
"""

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SAFE = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SIGN_IN = """([login, password]) => {
  const form = document.querySelector("main form");
  form.elements.login.value = login;
  form.elements.password.value = password;
  form.querySelector("button.button").click();
}"""


def main(chromium: Path, url: str, password: str, *paths: str) -> None:
    """Playwright's own clicks need a newer browser: the page itself is asked to fill in and to press."""
    arguments = [*SAFE, "--single-process", "--no-zygote"]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(chromium.parent / "lib")}
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(chromium), args=arguments, env=environment)
        page = browser.new_context(base_url=url, viewport={"width": 1280, "height": 900}).new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{page.url}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.goto("/sign-in")
        with page.expect_navigation():
            page.evaluate(SIGN_IN, ["finance", password])
        for path in (page.url, *paths):
            answer = page.goto(path)
            assert answer is not None and answer.status == 200, path
            style = page.evaluate("getComputedStyle(document.querySelector('.frame')).display")
            assert style == "grid", f"{path}: no style sheet"
            assert page.evaluate("document.querySelector('main h1').getBoundingClientRect().height") > 20, path
            assert page.evaluate("document.documentElement.scrollWidth") <= 1280, path
        assert complaints == []
        print("all pages work", flush=True)
        os._exit(0)  # without asking the browser to close, which it may never do


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""Real browsers on a stack that really runs: the newest Chromium of the system and one of 2021."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, sync_playwright

from tests.system.conftest import RunningStack, _directory, _end

# A page of an office desktop: government desktops still run browsers of 2021.
OLD = Path(__file__).parents[2] / ".browsers" / "chromium-90"
SAFE = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
PASSWORD = "桥上看风景 the view from the bridge"


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def _need(what: str, found: object) -> None:
    """Without a browser these tests are skipped with the reason; on CI they fail."""
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is not on this machine")


# Not of the session: the loop that Playwright leaves running would stand in the way of asynchronous tests.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    path = _chromium()
    _need("Chromium (Debian's package chromium)", path)
    browser = playwright.chromium.launch(executable_path=path, args=list(SAFE))
    yield browser
    browser.close()


class House:
    """A running stack and the people who sign in to it, each in a browser session of its own."""

    def __init__(self, stack: RunningStack, browser: Browser) -> None:
        self.stack, self.browser = stack, browser
        self.url = stack.api_url
        seeded = re.search(r"password\s+(\S+)", stack.text)
        assert seeded, f"riskpool up printed no password:\n{stack.text}"
        self.seeded = seeded[1]
        self._people: dict[str, Person] = {}
        self.passwords: dict[str, str] = {}
        self._token = self.riskpool("token", "create", "drc")

    def person(self, login: str, browser: Browser | None = None, **context: object) -> "Person":
        """A signed-in person; the same session each time for the same browser and context."""
        key = f"{login} {browser and browser.version} {sorted(context.items(), key=str)}"
        if key in self._people:
            return self._people[key]
        page = (browser or self.browser).new_context(
            base_url=self.url, **{"locale": "zh-CN", "viewport": {"width": 1280, "height": 900}, **context}
        ).new_page()
        person = Person(page, login)
        person.sign_in(self)
        self._people[key] = person
        return person

    def people(self) -> list["Person"]:
        """Everybody who has signed in."""
        return list(self._people.values())

    def small(self) -> "Person":
        """The commission at a telephone."""
        return self.person("drc", viewport={"width": 390, "height": 800})

    @staticmethod
    def keep_image(directory: Path, name: str, png: bytes) -> None:
        """Only where RISKPOOL_SCREENSHOTS is set, so that a test run changes no file."""
        if os.environ.get("RISKPOOL_SCREENSHOTS"):
            directory.mkdir(exist_ok=True)
            (directory / f"{name}.png").write_bytes(png)

    def add_user(self, login: str, organisation: str, *roles: str) -> None:
        """What an operator does for a new institution: `riskpool user add`."""
        options = [option for role in roles for option in ("--role", role)]
        said = self.riskpool("user", "add", login, "--organisation", organisation, *options)
        self.passwords[login] = said.split()[-1]

    def riskpool(self, *words: str) -> str:
        """What a command of riskpool prints about this stack."""
        command = [sys.executable, "-m", "riskpool", *words, "--data", str(self.stack.data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def day(self, date: str) -> None:
        """Business time moves on."""
        answer = self.api("POST", "/business-day", json={"date": date})
        assert answer.status_code == 200, answer.text

    def api(self, method: str, path: str, **more: object) -> httpx.Response:
        """The API as the commission's own program asks it."""
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.request(method, f"{self.url}/v1/schemes/yanqing{path}", headers=headers, timeout=30, **more)

    def get(self, path: str) -> dict:
        answer = self.api("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Person:
    """Someone at a browser. Everything the browser complains of is kept in ``complaints``."""

    def __init__(self, page: Page, login: str) -> None:
        self.page, self.login = page, login
        self.complaints: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        self.complaints.append(f"{self.page.url}: {message.type}: {message.text}")

    def sign_in(self, house: House) -> None:
        self.page.goto("/sign-in")
        self._password(house.passwords.get(self.login, house.seeded))
        if self.page.url.endswith("/account/password"):
            given = house.passwords.get(self.login, house.seeded)
            for name, value in (("old", given), ("new", PASSWORD), ("again", PASSWORD)):
                self.page.fill(f'input[name="{name}"]', value)
            self.page.click("main form button.button")
            assert not self.page.url.endswith("/account/password"), self.page.inner_text("main")
            house.passwords[self.login] = PASSWORD

    def _password(self, password: str) -> None:
        self.page.fill('input[name="login"]', self.login)
        self.page.fill('input[name="password"]', password)
        self.page.click("main form button.button")
        assert not self.page.url.endswith("/sign-in"), self.page.inner_text("main")

    def open(self, path: str) -> Page:
        """A page that must be there."""
        answer = self.page.goto(path)
        assert answer is not None and answer.status == 200, f"{path}: {answer and answer.status}\n{self.text()}"
        return self.page

    def text(self) -> str:
        return self.page.inner_text("main")

    def form(self, name: str, **fixed: str) -> Locator:
        """The form of a command on the open page, by the values that it sends along unseen."""
        found = self.page.locator(f'form[data-form="{name}"]')
        for field, value in fixed.items():
            found = found.filter(has=self.page.locator(f'input[name="{field}"][value="{value}"]'))
        return found.first

    def do(self, path: str, command: str, fixed: dict[str, str] | None = None, /, **fields: object) -> None:
        """Open a page, fill a command's form in, send it and see it done."""
        self.send(path, command, fixed or {}, fields)
        done = self.page.locator(".note--ok, .note--warn")
        assert done.count(), f"{command} on {path}:\n{self.text()}"

    def refused(
        self, path: str, command: str, rule: str, fixed: dict[str, str] | None = None, /, **fields: object
    ) -> None:
        """The same, refused by a rule that the page names."""
        self.send(path, command, fixed or {}, fields)
        assert rule in self.page.inner_text(".refusal"), self.text()
        expected = f"status of {self.page.url}"
        self.complaints = [one for one in self.complaints if "Failed to load resource" not in one or expected in one]

    def send(self, path: str, name: str, fixed: dict[str, str], fields: dict[str, object]) -> None:
        self.open(path)
        form = self.form(name, **fixed)
        assert form.count(), f"{path} has no form {name} {fixed} for {self.login}:\n{self.text()}"
        for summary in form.locator("xpath=ancestor::details[not(@open)]/summary").all():
            summary.click()
        for field, value in fields.items():
            fill(form, field, value)
        with self.page.expect_navigation():
            form.locator("button.button:not([formnovalidate])").last.click()


def fill(form: Locator, name: str, value: object) -> None:
    """One field of a form, whatever kind it is; a list ticks several boxes."""
    path = name.replace("__", ".")
    found = form.locator(f'[name="{path}"]')
    kind = found.first.get_attribute("type") or found.first.evaluate("one => one.tagName.toLowerCase()")
    if kind in ("radio", "checkbox"):
        for one in value if isinstance(value, list | tuple) else [value]:
            form.locator(f'[name="{path}"][value="{one}"]').check()
    elif kind == "select":
        found.first.select_option(str(value))
    else:
        found.first.fill(str(value))


@pytest.fixture(scope="package")
def house(chromium: Browser) -> Iterator[House]:
    """An empty fund."""
    with _directory() as directory:
        running = RunningStack(directory / "data", "--free-ports", "--clock", "message")
        try:
            running.until_says("Ctrl-C stops everything")
            yield House(running, chromium)
        finally:
            _end(running)


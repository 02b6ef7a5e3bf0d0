"""Every page in both languages: no complaint, nothing that axe finds; in an old browser and without JavaScript too."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from riskpool.demo import ENTERPRISE_A
from riskpool.services import SERVICES
from shared.messaging.instances import version
from tests.browser.conftest import OLD, PASSWORD, House, Person, _need
from tests.system.conftest import RunningStack, _directory, _end

PAGES = (
    "/", "/cases", f"/cases/{ENTERPRISE_A}", "/review", f"/review/{ENTERPRISE_A}", "/financing", "/claims",
    "/claims/2026H1", "/loans", "/loans/A-0001", "/pool", "/ledger", "/recoveries", "/obligations", "/departments",
    "/departments/scitech", "/institutions", "/institutions/bank-a", "/institutions/bank-a/bus", "/reports", "/scheme",
    "/audit", "/account", "/users", "/tokens", "/permissions",
)  # fmt: skip
# Pages that the commission has not, and pages of others that look otherwise.
OF_OTHERS = (
    ("scitech", "/refer"), ("scitech", f"/refer/{ENTERPRISE_A}"), ("scitech", f"/documents?about={ENTERPRISE_A}"),
    ("bank-a", "/"), ("bank-a", f"/financing/{ENTERPRISE_A}"), ("bank-a", "/claims"), ("bank-a", "/loans/A-0001"),
    ("bank-a", "/institutions/bank-a"), ("bank-a", "/receipts"), ("bank-a", "/uploads"), ("custodian", "/pool"),
    ("custodian", "/obligations"), ("auditor", "/audit"), ("operator", "/"),
    ("operator", "/ops"), ("operator", "/parked"),
)  # fmt: skip
SHOTS = {"/": "worklist", "/cases": "need-list", f"/cases/{ENTERPRISE_A}": "case", "/pool": "pool",
         "/claims/2026H1": "claims", f"/review/{ENTERPRISE_A}": "review"}  # fmt: skip
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="module")
def demo(chromium: Browser) -> Iterator[House]:
    """The fund that `make run` shows."""
    with _directory() as directory:
        running = RunningStack(directory / "data", "--free-ports", "--demo")
        try:
            running.until_says("Ctrl-C stops everything", 180)
            yield House(running, chromium)
        finally:
            _end(running)


@pytest.fixture(scope="module", params=["zh-CN", "en-GB"])
def visitor(demo: House, request: pytest.FixtureRequest) -> Person:
    return demo.person("drc", locale=request.param)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_complaint_and_axe_finds_nothing(visitor: Person, path: str) -> None:
    page = visitor.open(path)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert visitor.complaints == []
    english = page.locator("html").get_attribute("lang") == "en"
    assert english == (page.evaluate("navigator.language") == "en-GB")


@pytest.mark.parametrize(("login", "path"), OF_OTHERS)
def test_a_page_of_others_has_no_complaint_either(demo: House, login: str, path: str) -> None:
    """In Chinese, then in English by the button that every page has."""
    person = demo.person(login)
    for language in ("en", "zh-CN"):
        page = person.open(path)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.click("header button[name=language]")
        assert page.locator("html").get_attribute("lang") == language
    assert person.complaints == []


def test_the_operator_sees_what_runs_and_what_was_made(demo: House) -> None:
    demo.riskpool("audit")
    page = demo.person("operator", locale="en-GB").open("/ops")
    services = page.get_by_role("region", name="Service").locator("tbody tr")
    shown = [(row.locator("th").inner_text(), row.locator("td").nth(2).inner_text()) for row in services.all()]
    assert sorted(shown) == [(name, version()) for name in sorted(SERVICES)]
    streams = page.get_by_role("region", name="Stream").locator("tbody tr th").all_inner_texts()
    assert {"EVENTS", "RECEIPTS", "PARTNER_bank-a"} <= set(streams)
    assert page.get_by_text("Last backup: never done").is_visible()
    audit = page.locator("p", has_text="Last audit: ").inner_text()
    assert "Succeeded" in audit and audit.endswith(" events, 0 differences")
    assert "Never backed up" in page.locator(".note--bad").inner_text()


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_pages_before_and_between_have_no_complaint(demo: House, locale: str) -> None:
    """Signing in, why a decision is as it is, and a refusal; the browser itself reports only the refusal's status."""
    rated = next(one for one in demo.get(f"/cases/{ENTERPRISE_A}")["timeline"] if one["type"] == "EnterpriseRated")
    person = demo.person("drc", locale=locale)
    for path in (f"/why/{rated['id']}", "/account/password", "/cases/nobody"):
        person.page.goto(path)
        found = Axe().run(person.page)
        assert found.violations_count == 0, found.generate_report()
    assert [one for one in person.complaints if "404" not in one] == []
    stranger = Person(demo.browser.new_context(base_url=demo.url, locale=locale).new_page(), "stranger")
    found = Axe().run(stranger.open("/sign-in"))
    assert found.violations_count == 0 and stranger.complaints == [], found.generate_report()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_telephone(demo: House, path: str) -> None:
    small = demo.small()
    page = small.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_pages_work_in_an_old_browser(demo: House, tmp_path: Path) -> None:
    chromium = OLD / "chromium"
    _need("Chromium 90 (tests/browser/old-chromium)", chromium.exists())
    demo.person("finance")
    program, told = Path(__file__).with_name("old_pages.py"), tmp_path / "told"
    command = [sys.executable, str(program), str(chromium), demo.url, PASSWORD, *PAGES[:20]]
    for _ in range(3):  # all in one process, as it must be here, it hangs now and then on a busy machine
        with told.open("wb") as file:
            process = psutil.Popen(command, stdout=file, stderr=file)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(120)
            break
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    assert "all pages work" in told.read_text(), told.read_text()


def test_forms_work_without_javascript(demo: House) -> None:
    person = demo.person("scitech", java_script_enabled=False)
    person.do(f"/cases/{ENTERPRISE_A}", "RecordTracking", note="走访企业，生产正常", anomaly="false", kind="follow_up")
    assert "走访企业" in person.text()


def test_an_open_page_shows_what_others_do(demo: House) -> None:
    watcher = demo.person("drc", locale="zh-TW")
    watcher.open(f"/cases/{ENTERPRISE_A}")
    demo.person("scitech").do(
        f"/cases/{ENTERPRISE_A}", "RecordTracking", note="另一处看到的跟踪", anomaly="false", kind="follow_up"
    )
    watcher.page.get_by_text("另一处看到的跟踪").first.wait_for(timeout=3000)


@pytest.mark.parametrize("path", SHOTS)
def test_screenshots_for_the_documents(demo: House, path: str) -> None:
    """Written to docs/images when asked for (make screenshots), else only taken."""
    page = demo.person("drc").open(path)
    taken = page.screenshot(full_page=path == "/")
    assert taken.startswith(b"\x89PNG")
    demo.keep_image(IMAGES, SHOTS[path], taken)

"""Enterprise A of first-year lives its life a year later, through the console alone, each organisation signed in."""

import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tests.browser.conftest import House, Person, fill

A = "91110119MA01ABC17J"
LOAN = "A-0001"
REFERRAL: dict[str, Any] = {
    "uscc": A,
    "name": "甲无人机有限公司",
    "industry": "industrial",
    "sector": "low_altitude",
    "traits": ["high_growth"],
    "employees": 120,
    "revenue": "36,000,000",
    "assets": "20000000.00",
    "region": "110119",
    "registration": "active",
    "legal_representative.name": "赵一",
    "legal_representative.id": "110229198001010011",
    "actual_controller.name": "赵一",
    "actual_controller.id": "110229198001010011",
    "shareholders.0.name": "赵一",
    "shareholders.0.id": "110229198001010011",
    "shareholders.0.share": "70%",
    "shareholders.1.name": "钱二",
    "shareholders.1.id": "110229198202020022",
    "shareholders.1.share": "0.30",
    "project": "农业植保无人机批量生产",
    "need": "3000000",
    "purpose": "采购原材料",
    "letter_no": "延科信函〔2027〕1号",
    "materials": [
        "business_licence", "premises_proof", "balance_sheet", "income_statement", "cash_flow_statement",
        "social_insurance", "tax",
    ],
}  # fmt: skip
FIGURES = ("balance", "fees_total", "income_total", "compensated_gross")
CENT = Decimal("0.01")
TERM = {"valid_from": "2026-01-01", "valid_to": "2028-12-31"}


@pytest.fixture(scope="module")
def lived(house: House) -> House:
    """Enterprise A's whole life; every step is a form that somebody sends."""
    agree(house)
    finance(house)
    claim(house)
    recover(house)
    close_the_year(house)
    return house


def agree(house: House) -> None:
    drc, money = house.person("drc"), house.person("finance")
    house.day("2027-01-04")
    for institution, kind, name, more in (
        ("custodian", "custodian", "托管银行", {"fee_rate": "18%"}),
        ("bank-a", "bank", "甲银行延庆支行", {"products": ["bank", "guarantee", "insurance"]}),
        ("bank-b", "bank", "乙银行延庆支行", {"products": ["bank"]}),
    ):
        drc.do("/institutions", "SignAgreement", institution=institution, kind=kind, name=name, **TERM, **more)
        house.add_user(institution, institution, "officer", "head", "admin")
    for source, reference in (("policy_fund", "CAP-1"), ("inclusive_award", "CAP-2")):
        money.do("/pool", "InjectCapital", source=source, amount="15000000", bank_ref=reference)


def finance(house: House) -> None:
    drc, department, bank = house.person("drc"), house.person("scitech"), house.person("bank-a")
    house.day("2027-01-12")
    department.do("/refer", "ReferEnterprise", **REFERRAL)
    department.refused("/refer", "ReferEnterprise", "eligible.open_case", **REFERRAL)
    house.day("2027-01-14")
    drc.do(f"/cases/{A}", "ScreenReferral", decision="admit")
    house.day("2027-01-15")
    drc.refused(f"/review/{A}", "OpenRatingRound", "panel.seats", seats=["drc", "finance", "scitech"])
    drc.do(f"/review/{A}", "OpenRatingRound", seats=["drc", "finance", "scitech", "bank-a"])
    for login, grade in (("drc", "medium"), ("finance", "low"), ("scitech", "medium")):
        house.person(login).do(f"/review/{A}", "CastVote", grade=grade)
    bank.open(f"/review/{A}")
    assert "低风险" not in bank.page.inner_text("#votes"), "a vote shows before every seat has voted"
    bank.do(f"/review/{A}", "CastVote", grade="medium", comment="同意中风险")
    assert "中风险" in bank.page.inner_text("#votes")
    house.day("2027-01-20")
    drc.do(f"/financing/{A}", "PushFinancing", product="bank", institutions=["bank-a"])
    house.day("2027-01-26")
    loan = {"loan_no": LOAN, "annual_rate": "3.85%", "disbursed_on": "2027-01-26", "matures_on": "2028-01-25"}
    bank.refused(f"/financing/{A}", "LoanDisbursed", "loan.cap", product="bank", principal="3000000.01", **loan)
    bank.do(f"/financing/{A}", "LoanDisbursed", product="bank", principal="3000000", **loan)


def claim(house: House) -> None:
    drc, bank = house.person("drc"), house.person("bank-a")
    house.day("2027-05-20")
    bank.do(f"/loans/{LOAN}", "LoanRepaid", principal="500000.01", repaid_on="2027-05-20")
    house.day("2027-06-10")
    default = {"classified": "substandard", "classified_on": "2027-06-08"}
    bank.refused(f"/loans/{LOAN}", "LoanDefaulted", "claim.amount", outstanding_principal="2600000", **default)
    bank.do(f"/loans/{LOAN}", "LoanDefaulted", outstanding_principal="2499999.99", **default)
    house.day("2027-07-01")
    house.person("drc-officer").do("/claims", "OpenClaimBatch", {"half": "2027H1"})
    for login in ("drc", "finance", "scitech", "bank-a"):
        house.person(login).do("/claims/2027H1", "VerifyClaim", {"loan_no": LOAN}, opinion="approve")
    drc.do("/claims/2027H1", "SubmitClaimBatch")
    house.day("2027-07-15")
    government = house.person("government")
    government.do("/claims/2027H1", "ConsentClaimBatch", decision="consent", document_no="延政函〔2027〕20号")
    house.day("2027-07-20")
    drc.do("/pool", "IssuePayoutNotice", notice_no="延发改代偿〔2027〕1号")
    custodian = house.person("custodian")
    [waiting] = house.get("/disbursements?status=instructed")["items"]
    paid = {"bank_ref": "T-1", "settled_on": "2027-07-20"}
    custodian.do("/pool", "TransferSettled", {"disbursement_id": waiting["id"]}, **paid)


def recover(house: House) -> None:
    drc, bank, custodian = house.person("drc"), house.person("bank-a"), house.person("custodian")
    house.day("2027-09-02")
    for amount, day in (("1000000.00", "2027-08-31"), ("333333.33", "2027-09-01")):
        bank.do(f"/loans/{LOAN}", "RecoveryCollected", amount=amount, collected_on=day)
    received = {"purpose": "recovery", "loan_no": LOAN, "bank_ref": "R-1", "received_on": "2027-09-10"}
    house.day("2027-09-10")
    custodian.do("/pool", "FundsReceived", amount="666666.67", **received)
    house.day("2027-11-03")
    ruling = {"ruling_no": "（2027）京0119执1号之一", "ruled_on": "2027-11-02"}
    bank.do(f"/loans/{LOAN}", "WriteOffProposed", ground="execution_terminated", **ruling)
    drc.do("/recoveries", "ApproveWriteOff", {"loan_no": LOAN}, decision="approve")
    house.person("finance").do("/recoveries", "ApproveWriteOff", {"loan_no": LOAN}, decision="approve")


def close_the_year(house: House) -> None:
    custodian = house.person("custodian")
    house.day("2027-12-31")
    custodian.do("/pool", "IncomeCredited", amount="400000", period="2027", bank_ref="I-1")
    house.day("2028-01-10")
    house.person("drc").refused("/pool", "ApproveFee", "pool.fee", {"year": "2027"}, rate="21%")
    for login in ("drc", "finance"):
        house.person(login).do("/pool", "ApproveFee", {"year": "2027"}, rate="18%")
    [fee] = house.get("/disbursements?status=instructed")["items"]
    paid = {"bank_ref": "T-2", "settled_on": "2028-01-10"}
    custodian.do("/pool", "TransferSettled", {"disbursement_id": fee["id"]}, **paid)
    balance = house.get("/pool")["balance"]
    custodian.do("/pool", "StatementIssued", as_of="2028-01-10", balance=balance)


def test_the_books_are_those_of_the_story(lived: House) -> None:
    pool, loan = lived.get("/pool"), lived.get(f"/loans/{LOAN}")
    assert (pool["state"], pool["compensated_gross"], pool["counter"]) == ("active", "1250000.00", "1250000.00")
    assert (pool["income_total"], pool["fees_total"], pool["balance"]) == ("400000.00", "72000.00", "29744666.67")
    assert (loan["status"], loan["compensation"]["paid"]) == ("compensated", "1250000.00")
    assert (loan["recovery"]["pool_share"], loan["recovery"]["written_off"]) == ("666666.67", "583333.33")


def test_the_pages_show_the_figures_of_the_api(lived: House) -> None:
    drc = lived.person("drc")
    drc.open("/pool")
    assert "29,744,666.67" in drc.text()
    drc.open(f"/loans/{LOAN}")
    assert "666,666.67" in drc.text() and "583,333.33" in drc.text()


def test_a_downloaded_report_has_the_figures_of_the_api(lived: House, tmp_path: Path) -> None:
    file = made_report(lived.person("drc"), "custodian_annual", "2027", "xlsx", tmp_path)
    cells = [cell.value for sheet in openpyxl.load_workbook(file) for row in sheet.iter_rows() for cell in row]
    amounts = {Decimal(str(cell)).quantize(CENT) for cell in cells if isinstance(cell, int | float)}
    pool = {name: Decimal(value) for name, value in lived.get("/pool").items() if name in FIGURES}
    # The year ends before its fee is paid.
    assert {pool["balance"] + pool["fees_total"], pool["income_total"], -pool["compensated_gross"]} <= amounts


def test_a_downloaded_report_reads_as_a_document(lived: House, tmp_path: Path) -> None:
    file = made_report(lived.person("drc"), "recovery_half_year", "2027H2", "pdf", tmp_path)
    text = subprocess.run(["pdftotext", "-layout", str(file), "-"], capture_output=True, text=True, check=True).stdout
    assert "666,666.67" in text and "583,333.33" in text and LOAN in text


def made_report(person: Person, kind: str, period: str, form: str, directory: Path) -> Path:
    """Ask for a report on its page, wait until it is made, download it."""
    page = person.open("/reports")
    asked = page.locator("form.card").filter(has=page.locator(f'input[name="kind"][value="{kind}"]'))
    fill(asked, "period", period)
    fill(asked, "format", form)
    with page.expect_navigation():
        asked.locator("button.button").click()
    link = page.locator("a[download]").first
    link.wait_for(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    file = directory / download.value.suggested_filename
    download.value.save_as(file)
    return file


def test_every_person_saw_pages_without_a_complaint(lived: House) -> None:
    complaints = [one for person in lived.people() for one in person.complaints]
    assert complaints == []


def test_a_bank_sees_nothing_of_another_banks_case(lived: House) -> None:
    other = lived.person("bank-b")
    answer = other.page.goto(f"/cases/{A}")
    assert answer is not None and answer.status == 404
    for path in ("/", "/cases", "/loans", "/claims", "/recoveries"):
        other.open(path)
        assert "甲无人机" not in other.page.content()


def test_a_decision_explains_itself(lived: House) -> None:
    drc = lived.person("drc")
    rated = next(e for e in lived.get(f"/cases/{A}")["timeline"] if e["type"] == "EnterpriseRated")
    drc.open(f"/why/{rated['id']}")
    said = drc.text()
    assert rated["why"]["rule"] in said and "少数服从多数" in said

"""What is read follows from the events alone, whatever order different services' events arrive in."""

from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.gateway.policy import GatewayPolicy
from services.gateway.queries import cases, ledger, loans, organisations, pool
from services.gateway.queries.events import event_list
from shared.contracts import pool as money
from shared.contracts import recovery, referral, review
from shared.contracts.base import Event
from shared.scheme.loader import load_scheme
from tests.gateway import story
from tests.gateway.story import OTHER, SCHEME, USCC, day, take, yuan

YANQING = load_scheme("yanqing")
POLICY = YANQING.policy(GatewayPolicy)


async def status(connection: AsyncConnection, uscc: str = USCC) -> str:
    case = await cases.one_case(connection, SCHEME, POLICY, uscc, None)
    assert case is not None
    return case.status


async def statuses(connection: AsyncConnection, *events: Event) -> list[str]:
    """The case's status after each event."""
    seen = []
    for event in events:
        await take(connection, [event])
        seen.append(await status(connection))
    return seen


async def test_a_case_passes_from_referral_to_financing(connection: AsyncConnection) -> None:
    round_opened = review.RatingRoundOpened(uscc=USCC, round=1, seats=("drc",), opened_on=day("2026-01-15"))
    seen = await statuses(
        connection,
        story.referred(),
        referral.ReferralReturned(uscc=USCC, reason="材料", findings=()),
        story.referred(),
        story.admitted(),
        story.opened(),
        round_opened,
        review.ConsentRequested(uscc=USCC, round=1, ratio=Decimal(1)),
        story.rated("high", "1.00"),
        story.pushed("bank-a"),
        story.covered(),
    )
    assert seen == [
        "referred",
        "returned",
        "referred",
        "admitted",
        "admitted",
        "in_review",
        "awaiting_consent",
        "rated",
        "pushed",
        "financed",
    ]


async def test_a_failed_round_goes_back_to_the_panel_and_the_second_ends_the_case(connection: AsyncConnection) -> None:
    failed = [review.FinancingFailed(uscc=USCC, failures=n, cause="declined") for n in (1, 2)]
    seen = await statuses(
        connection,
        story.referred(),
        story.admitted(),
        story.opened(),
        story.rated(),
        story.pushed("bank-a"),
        failed[0],
        story.rated(),
        story.pushed("bank-b"),
        failed[1],
        review.FinancingExhausted(uscc=USCC, failures=2),
    )
    assert seen[5] == "admitted" and seen[-1] == "exhausted"
    case = await cases.one_case(connection, SCHEME, POLICY, USCC, None)
    assert case is not None and (case.failures, case.grade, case.ratio) == (2, None, None)


async def test_a_new_referral_of_an_ended_case_starts_again(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.admitted(), story.opened(), story.rated()])
    await take(connection, [review.EnterpriseVetoed(uscc=USCC, reason="风险")])
    await take(connection, [referral.ReferralClosed(uscc=USCC, outcome="vetoed")])
    assert await status(connection) == "vetoed"
    again = [story.referred(on="2026-05-01", attempt=2), story.admitted(on="2026-05-02"), story.opened(on="2026-05-02")]
    assert await statuses(connection, *again) == ["referred", "admitted", "admitted"]


async def test_a_withdrawn_referral_shows_as_withdrawn_before_review_has_closed_it(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.admitted(), story.opened()])
    withdrawn = referral.ReferralWithdrawn(uscc=USCC, reason="不再需要")
    closed = review.CaseClosed(uscc=USCC, outcome="withdrawn", rule="")
    assert await statuses(connection, withdrawn, closed) == ["withdrawn", "withdrawn"]


async def test_the_need_list_shows_priority_sectors_first_and_filters(connection: AsyncConnection) -> None:
    plain = story.referred("911101191000000164", on="2026-01-02", sector="other")
    await take(connection, [plain, story.referred(OTHER, on="2026-02-09"), story.referred(on="2026-01-12")])
    found = await cases.case_list(
        connection, SCHEME, POLICY, status="referred", recommender="scitech", party=None, limit=2, cursor=None
    )
    assert [(case.uscc, case.priority) for case in found.items] == [(USCC, True), (OTHER, True)]
    rest = await cases.case_list(
        connection, SCHEME, POLICY, status=None, recommender=None, party=None, limit=2, cursor=found.next_cursor
    )
    assert [case.uscc for case in rest.items] == ["911101191000000164"] and rest.next_cursor is None


async def test_institutions_see_their_cases_only_and_no_whole_identity_number(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.admitted(), story.opened(), story.rated(), story.pushed("bank-a")])
    assert await cases.one_case(connection, SCHEME, POLICY, USCC, "bank-b") is None
    mine = await cases.one_case(connection, SCHEME, POLICY, USCC, "bank-a")
    whole = await cases.one_case(connection, SCHEME, POLICY, USCC, None)
    assert mine is not None and whole is not None
    assert "110229198001010011" not in mine.model_dump_json() and "**************0011" in mine.model_dump_json()
    assert "110229198001010011" in whole.model_dump_json()


async def test_a_loan_shows_what_four_services_say_of_it(connection: AsyncConnection) -> None:
    await take(connection, [event for events in story.life().values() for event in events])
    loan = await loans.one_loan(connection, SCHEME, "A-1", None)
    assert loan is not None
    shown = loan.model_dump(mode="json")
    assert (shown["status"], shown["outstanding"], shown["ratio"]) == ("compensated", "2500000.00", "0.50")
    assert shown["compensation"] == {
        "approved": "1250000.00",
        "instructed": "0.00",
        "paid": "1000000.00",
        "held": "250000.00",
    }
    assert shown["recovery"]["status"] == "written_off"
    wanted = {
        "collected": "1000000.00",
        "pool_share": "500000.00",
        "remitted": "400000.00",
        "overdue": "100000.00",
        "written_off": "600000.00",
    }
    assert wanted.items() <= shown["recovery"].items()
    assert shown["claim"]["base"] == "2500000.00" and shown["claim"]["half"] == "2026H1"


TURNS = [name for name, events in story.life().items() for _ in events]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.permutations(TURNS))
async def test_any_interleaving_of_the_services_gives_the_same_picture(engine: AsyncEngine, turns: list[str]) -> None:
    async def picture(events: list[Event]) -> list[object]:
        async with engine.connect() as connection:
            await take(connection, events)
            loan = await loans.one_loan(connection, SCHEME, "A-1", None)
            case = await cases.one_case(connection, SCHEME, POLICY, USCC, None)
            assert loan and case
            fund = await pool.pool(connection, SCHEME)
            scitech = await organisations.department(connection, SCHEME, YANQING.organisations["scitech"])
            await connection.rollback()
        return [loan, case.model_copy(update={"timeline": []}), fund, scitech]

    parts = story.life()
    assert await picture(story.interleaved(parts, turns)) == await picture(story.interleaved(parts, TURNS))


async def test_the_queue_shows_what_is_held_and_a_returned_transfer_at_its_head(connection: AsyncConnection) -> None:
    await take(
        connection,
        [
            story.notice(1, story.item("A-1", yuan(100)), story.item("A-2", yuan(50)), story.item("A-3", yuan(30))),
            story.instructed(2, "A-1", yuan(100)),
            story.instructed(3, "A-2", yuan(20), "D2"),
            story.held(4, "A-2", yuan(30)),
            story.held(5, "A-3", yuan(30), "paused"),
            story.returned(6, "A-1", yuan(100)),
        ],
    )
    held = (await pool.pool(connection, SCHEME)).model_dump(mode="json")["held"]
    assert [(one["loan_no"], one["amount"], one["reason"]) for one in held] == [
        ("A-1", "100.00", "returned"),
        ("A-2", "30.00", "line"),
        ("A-3", "30.00", "paused"),
    ]
    shown = await pool.disbursement_list(
        connection, SCHEME, status=None, loan_no=None, kind=None, party="bank-a", limit=9, cursor=None
    )
    assert [(one.id, one.status, one.reason) for one in shown.items] == [
        ("D1", "returned", "账号有误"),
        ("D2", "instructed", None),
    ]


async def test_the_newest_figures_win_over_older_ones_that_come_late(connection: AsyncConnection) -> None:
    await take(connection, [story.instructed(9, "A-1", 1, capital=yuan(30_000_000)), story.held(4, "A-2", 1)])
    assert (await pool.pool(connection, SCHEME)).capital == yuan(30_000_000)


async def test_exposure_leaves_out_insured_repaid_uncovered_and_compensated_loans(connection: AsyncConnection) -> None:
    await take(
        connection,
        [
            story.covered("A-1", ratio="0.20"),
            story.covered("A-2", payee=None),
            story.covered("A-3"),
            story.covered("A-4"),
            review.PrincipalRepaid(
                uscc=USCC, loan_no="A-1", amount=2, outstanding=yuan(3_000_000) - 2, repaid_on=day("2026-05-01")
            ),
            review.LoanUncovered(uscc=USCC, loan_no="A-3", institution="bank-a"),
            story.settled(1, "A-4", yuan(1)),
        ],
    )
    assert (await pool.pool(connection, SCHEME)).exposure == yuan(600_000)


async def test_a_slot_of_the_high_quota_is_freed_when_the_case_goes_back_and_kept_with_a_loan(
    connection: AsyncConnection,
) -> None:
    async def taken() -> list[str]:
        return (await cases.high_quota(connection, SCHEME, POLICY, 2026)).enterprises

    await take(connection, [story.opened(), story.rated("high", "1.00"), story.rated("high", "1.00", OTHER)])
    assert await taken() == [USCC, OTHER]
    await take(connection, [review.RatingLapsed(uscc=OTHER, rated_on=day("2026-01-19")), story.covered()])
    await take(connection, [review.CaseClosed(uscc=USCC, outcome="closed", rule="loan.once")])
    assert await taken() == [USCC]


async def test_ledger_balances_are_derived_from_the_entries(connection: AsyncConnection) -> None:
    injected = money.CapitalInjected(
        on=day("2026-01-06"),
        fund=story.fund(1),
        source="policy_fund",
        amount=yuan(10),
        bank_ref="C-1",
        entries=story.entries("cash", "capital", yuan(10)),
    )
    await take(connection, [injected, story.instructed(2, "A-1", yuan(4))])
    accounts = (await ledger.account_list(connection, SCHEME)).model_dump(mode="json")["items"]
    assert {one["account"]: one["balance"] for one in accounts} == {
        "capital": "-10.00",
        "cash": "6.00",
        "instructed": "4.00",
    }
    lines = await ledger.entry_list(connection, SCHEME, ledger.Filter(account="cash"), limit=9, cursor=None)
    assert [(one.cause, one.amount) for one in lines.items] == [
        ("CapitalInjected", 1000),
        ("CompensationInstructed", -400),
    ]


async def test_a_department_shows_quarters_years_and_its_flag(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.referred(OTHER, on="2026-05-01")])
    for uscc in (USCC, OTHER):
        await take(connection, [referral.CompensationCounted(department="scitech", year=2026, uscc=uscc)])
    before = await organisations.department(connection, SCHEME, YANQING.organisations["scitech"])
    await take(connection, [referral.DepartmentFlagged(department="scitech", year=2026, enterprises=(USCC, OTHER))])
    after = await organisations.department(connection, SCHEME, YANQING.organisations["scitech"])
    assert (before.referrals, before.compensated, before.flag) == ({"2026Q1": 1, "2026Q2": 1}, {"2026": 2}, False)
    assert after.flag and after.flags[0].enterprises == [USCC, OTHER]


async def test_an_institution_shows_its_newest_agreement_and_its_sanctions(connection: AsyncConnection) -> None:
    def agreement(until: str) -> Event:
        return review.AgreementSigned(
            institution="bank-a",
            kind="bank",
            name="甲银行",
            valid_from=day("2026-01-01"),
            valid_to=day(until),
            products=("bank",),
        )

    ended = review.InstitutionSanctioned(
        institution="bank-a", measure="terminate", reason="串通", sanctioned_on=day("2026-08-01")
    )
    await take(connection, [agreement("2026-12-31"), agreement("2027-12-31"), ended, story.covered()])
    shown = await organisations.institution_list(
        connection, SCHEME, kind="bank", institution=None, limit=9, cursor=None
    )
    assert [(one.id, str(one.valid_to), one.terminated, one.loans) for one in shown.items] == [
        ("bank-a", "2027-12-31", True, 1)
    ]


async def test_schemes_do_not_see_each_other(connection: AsyncConnection) -> None:
    await take(connection, [story.referred(), story.covered()], scheme="elsewhere")
    assert await cases.one_case(connection, SCHEME, POLICY, USCC, None) is None
    assert await loans.one_loan(connection, SCHEME, "A-1", None) is None


async def test_events_are_found_by_every_business_id_they_name(connection: AsyncConnection) -> None:
    await take(connection, [event for events in story.life().values() for event in events])

    async def names(about: str) -> list[str]:
        found = await event_list(connection, SCHEME, after=0, kind=None, about=about, limit=99, cursor=None)
        return [event.type for event in found.items]

    assert "CompensationApproved" in await names("A-1") and "PayoutNoticeIssued" in await names(USCC)
    assert await names("D1") == ["CompensationInstructed", "CompensationSettled"]


async def test_a_closed_recovery_closes_the_loan_and_ends_what_was_overdue(connection: AsyncConnection) -> None:
    await take(connection, [event for events in story.life().values() for event in events][:-1])
    await take(connection, [recovery.RecoveryClosed(uscc=USCC, loan_no="A-1", remitted=yuan(1), clawed_back=0)])
    loan = await loans.one_loan(connection, SCHEME, "A-1", None)
    assert loan is not None and (loan.status, loan.recovery.overdue) == ("closed", 0)

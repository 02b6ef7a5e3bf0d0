"""The pool's figures in the first year of the Yanqing scheme, step by step as the story of the design tells them."""

from datetime import date
from typing import Any

from tests.pool.world import World, accepted, fen, refused


def test_the_first_year() -> None:
    world = World(capital=False)

    def figures(**expected: str) -> None:
        told: dict[str, Any] = world.figures.model_dump(mode="json")
        assert {name: told[name] for name in expected} == expected

    world.today = date(2026, 1, 6)
    world.inject("policy_fund", "15000000.00", "CAP-1")
    world.inject("inclusive_award", "15000000.00", "CAP-2")
    figures(state="active", capital="30000000.00", balance="30000000.00", pause_line="21000000.00",
            resume_line="15000000.00")
    world.today = date(2026, 2, 26)
    world.subsidy("P-0001", "30000.01")
    world.settle("D000001")
    figures(balance="29969999.99", subsidies_total="30000.01", counter="0.00")
    world.today = date(2026, 7, 20)
    world.claim("A-0001", "1250000.00")
    world.settle("D000002")
    figures(state="active", balance="28719999.99", compensated_gross="1250000.00", counter="1250000.00",
            recoverable="1250000.00")
    loan = world.state("compensation", "A-0001")
    assert (loan.approved_fen, loan.paid_fen, loan.held_fen) == (fen("1250000.00"), fen("1250000.00"), 0)
    world.today = date(2026, 7, 21)
    assert refused(world.notice(reason=None)) == ("pool.notice", "year")
    world.today = date(2026, 9, 10)
    world.receive("recovery", "A-0001", "666666.67", "R-1")
    figures(balance="29386666.66", recoverable="583333.33", counter="1250000.00")
    world.today = date(2026, 11, 5)
    world.write_off("A-0001", "583333.33")
    figures(recoverable="0.00", written_off="583333.33", balance="29386666.66")
    world.today = date(2026, 12, 31)
    world.income("400000.00", "2026", "I-1")
    world.today = date(2027, 1, 10)
    assert refused(world.fee("drc", 2026, "0.21")) == ("pool.fee", "rate")
    world.fee("drc", 2026, "0.18")
    world.today = date(2027, 1, 11)
    world.fee("finance", 2026, "0.18")
    accepted(world.settle("D000003"))
    figures(balance="29714666.66", cash="29714666.66", income_total="400000.00", fees_total="72000.00")
    assert world.differences() == ()

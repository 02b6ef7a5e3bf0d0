"""Every refusal that the pool can give has its own sentence, and every figure of the sentence is given."""

import ast
from pathlib import Path

import pytest

import services.pool.domain as domain
from shared.decisions import Decision, Refusal
from shared.scheme.refusals import PLACEHOLDER, explain, sentences
from tests.pool.world import World, million

SOURCES = sorted(Path(next(iter(domain.__path__))).glob("*.py"))
BY_STATUS = {("pool.custodian", "settled"), ("pool.custodian", "returned")}


def refusals_in_code() -> set[tuple[str, str]]:
    found = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Refusal":
                texts = [str(arg.value) for arg in node.args[:2] if isinstance(arg, ast.Constant)]
                if len(texts) == 2:
                    found.add((texts[0], texts[1]))
    return found | BY_STATUS


@pytest.mark.parametrize("refusal", sorted(refusals_in_code()))
def test_a_refusal_has_its_own_sentence(refusal: tuple[str, str]) -> None:
    assert "/".join(refusal) in sentences()


def given_refusals() -> list[Decision]:
    world = World()
    world.claim("A", million("1"))
    world.claim("B", million("1"))
    world.give_back("D000002")
    tomorrow = world.today.replace(year=2027)
    found = [
        world.inject("lottery", 1), world.inject("policy_fund", 1), world.inject("policy_fund", 1, "CAP-1"),
        world.settle("D9"), world.settle("D000002"), world.give_back("D000002", "另一原因"),
        world.settle("D000001", on=tomorrow), world.settle("D000001", on=world.today.replace(year=2025)),
        world.receive("other", None, 1, on=tomorrow), world.receive("other", None, 1, "CAP-1"),
        world.income(1, "2027"), world.income(-million("40")), world.statement(0, tomorrow, 0),
        world.write_off("X", 1), world.notice(reason=None), world.notice(notice_no=world.fund.notices[0].notice_no),
        world.fee("drc", 2025, "0.30"), world.fee("drc", 2026, "0.20"),
    ]
    world.fee("drc", 2025, "0.20")
    found += [world.fee("drc", 2025, "0.20"), world.fee("finance", 2025, "0.19")]
    world.fee("finance", 2025, "0.20")
    found += [world.fee("finance", 2025, "0.20"), world.settle("D000001")]
    return [*found, world.settle("D000001", "other"), world.give_back("D000001")]


def test_no_figure_of_a_sentence_is_missing() -> None:
    refused = [decision for decision in given_refusals() if isinstance(decision, Refusal)]
    assert len(refused) == 23
    for refusal in refused:
        for language in ("zh", "en"):
            text = explain(refusal.rule, refusal.reason, refusal.figures, "zh" if language == "zh" else "en")
            assert "—" not in text and not PLACEHOLDER.search(text), (refusal, text)

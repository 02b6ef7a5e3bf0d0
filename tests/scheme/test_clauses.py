"""The source document's clauses, as decisions show them."""

from shared.scheme.clauses import cited
from shared.scheme.loader import SHIPPED, load_scheme


def test_every_clause_that_the_scheme_cites_has_its_text() -> None:
    scheme = load_scheme(SHIPPED / "yanqing.toml")
    citations = {one.clause for one in (*scheme.settings.values(), *scheme.rules.values())} - {""}
    without = {number for citation in citations for number, text in cited("yanqing", citation) if not text}
    assert without == set()


def test_an_item_is_shown_under_its_heading() -> None:
    [(number, text)] = cited("yanqing", "二(二)1")
    assert number == "二(二)1"
    assert text.startswith("资金管理\n") and "3000万元" in text


def test_a_scheme_without_its_document_shows_numbers_only() -> None:
    assert cited("elsewhere", "二(一)、六") == [("二(一)", ""), ("六", "")]

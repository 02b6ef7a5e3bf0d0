"""What each setting of a scheme file may be: one check a key, and the checks between keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.contracts.base import Fen, Rate
from shared.scheme.size import DIRECTORY as SIZE_STANDARDS

Entry = Mapping[str, Any]
_FEN: TypeAdapter[int] = TypeAdapter(Fen)
_RATE: TypeAdapter[Decimal] = TypeAdapter(Rate)


@dataclass(frozen=True)
class Allowed:
    """A check of one value, and in words what it allows."""

    words: str
    holds: Callable[[Any], bool]


def _reads(adapter: TypeAdapter[Any], value: object) -> Any:
    try:
        return adapter.validate_python(value) if isinstance(value, str) else None
    except ValidationError:
        return None


def _choice(*names: str) -> Allowed:
    return Allowed(" or ".join(f'"{name}"' for name in names), lambda v: isinstance(v, str) and v in names)


def _some_of(*names: str, least: int = 1) -> Allowed:
    def holds(value: Any) -> bool:
        return isinstance(value, list) and len(value) >= least and _distinct(value) and set(value) <= set(names)

    return Allowed(f"a list of at least {least}, each once, of: {', '.join(names)}", holds)


def _distinct(value: list[Any]) -> bool:
    return all(isinstance(one, str) and one for one in value) and len(set(value)) == len(value)


def _count(low: int, high: int, unit: str) -> Allowed:
    return Allowed(
        f"a whole number of {unit} from {low} to {high}",
        lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high,
    )


def _ratio(above_zero: bool) -> Allowed:
    def holds(value: Any) -> bool:
        rate = _reads(_RATE, value)
        return rate is not None and (0 < rate <= 1 if above_zero else 0 <= rate <= 1)

    return Allowed(f'a decimal string {"above" if above_zero else "from"} 0 up to 1, such as "0.70"', holds)


def _is_money(value: object) -> bool:
    return bool(_reads(_FEN, value))


def _is_grades(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"high", "medium", "low"}:
        return False
    return all(_ratio(above_zero=True).holds(ratio) for ratio in value.values())


_OBLIGED = ("custodian", "drc", "finance", "government", "department")


def _is_obligations(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and set(one) == {"kind", "by", "period", "due_months", "rule"}
        and one["period"] in ("quarter", "half", "year")
        and one["by"] in _OBLIGED
        and _count(0, 12, "").holds(one["due_months"])
        and all(isinstance(one[key], str) and one[key] for key in ("kind", "rule"))
        for one in value
    )


_WORDS = Allowed("a list of words, each once, at least one", lambda v: isinstance(v, list) and bool(v) and _distinct(v))
_BOOL = Allowed("true or false", lambda v: isinstance(v, bool))
_MATERIALS = ("business_licence", "premises_proof", "balance_sheet", "income_statement", "cash_flow_statement",
              "social_insurance", "tax")

SETTINGS: dict[str, Allowed] = {
    "term.effective_from": Allowed("a date without quotes, such as 2026-01-01", lambda v: type(v) is date),
    "term.years": _count(1, 50, "years"),
    "region": Allowed("the six digits of a region, as a string",
                      lambda v: isinstance(v, str) and len(v) == 6 and v.isascii() and v.isdigit()),
    "size_standard": Allowed("the name of a file of shared/scheme/size_standards, without .csv",
                             lambda v: isinstance(v, str) and v in {f.stem for f in SIZE_STANDARDS.glob("*.csv")}),
    "clean_record.months": _count(0, 600, "months"),
    "need.cap": Allowed('an amount above zero with two decimals, such as "5000000.00"', _is_money),
    "need.cap_principle": _BOOL,
    "materials": _some_of(*_MATERIALS, least=0),
    "affiliate.threshold": _ratio(above_zero=True),
    "bar.years": _count(0, 50, "years"),
    "financing.max_failures": _count(1, 20, "failures"),
    "priority.sectors": _WORDS,
    "priority.traits": _some_of("high_growth", "future_industry", "leader"),
    "quota.per_quarter": _count(0, 1000, "referrals"),
    "panel.required": _some_of("drc", "finance", "recommender", "bank", "guarantor"),
    "panel.tie": _choice("revote_then_lead"),
    "grades": Allowed('high, medium and low, each a decimal string above 0 up to 1, such as "0.50"', _is_grades),
    "grades.high.per_year": _count(0, 10000, "enterprises"),
    "grades.lifetime_months": _count(1, 120, "months"),
    "push.preference": _some_of("collateral", "annual_rate_from", "own_product", least=0),
    "financing.deadline_working_days": _count(1, 500, "working days"),
    "products": _some_of("bank", "guarantee", "insurance"),
    "claim.classes": _some_of("substandard", "doubtful", "loss"),
    "claim.base": _choice("principal"),
    "claim.statement_days": _count(1, 3660, "days"),
    "claim.deadline_months": _count(0, 120, "months"),
    "payout.order": _choice("consent,accepted,id"),
    "capital.sources": Allowed(
        "a table of at least one source, each an amount above zero with two decimals",
        lambda v: isinstance(v, dict) and bool(v) and all(map(_is_money, v.values())),
    ),
    "notice.per_year": _count(1, 366, "notices"),
    "pause.at": _ratio(above_zero=True),
    "pause.measure": _choice("cycle", "net", "gross"),
    "pause.crossing": _choice("to_line", "in_full", "hold"),
    "pause.stops": _some_of("compensation"),
    "resume.at": _ratio(above_zero=True),
    "fee.min": _ratio(above_zero=False),
    "fee.max": _ratio(above_zero=False),
    "subsidy.rate": _ratio(above_zero=False),
    "subsidy.documents": _some_of("disbursement_proof", "policy", "payment_proof", least=0),
    "recovery.split": _choice("pro_rata"),
    "recovery.deduct_costs": _BOOL,
    "recovery.remit_days": _count(1, 3660, "days"),
    "writeoff.grounds": _some_of("bankruptcy", "execution_terminated"),
    "department.flag_per_year": _count(1, 1000, "compensated enterprises"),
    "obligations": Allowed(
        f"a list of {{kind, by = {' | '.join(_OBLIGED)}, period = quarter | half | year, "
        "due_months = months after the period's end (0 to 12), rule}",
        _is_obligations,
    ),
}

_KEYS = ", ".join(SETTINGS)


def _problem(key: str, entry: object) -> str | None:
    allowed = SETTINGS[key]
    if not isinstance(entry, dict) or not set(entry) <= {"value", "clause", "reading"}:
        return f"{key}: allowed in its table: value, clause, reading"
    clause = entry.get("clause")
    if not isinstance(clause, str) or not clause:
        return f"{key}: clause is missing; cite the source as it numbers itself, such as 二(一)"
    if not isinstance(entry.get("reading", ""), str):
        return f"{key} ({clause}): reading must be text"
    if "value" not in entry:
        return f"{key} ({clause}): value is missing; allowed: {allowed.words}"
    if not allowed.holds(entry["value"]):
        return f"{key} ({clause}): {entry['value']!r} is not allowed; allowed: {allowed.words}"
    return None


def _between(entries: Mapping[str, Any]) -> list[str]:
    def rate(key: str) -> Decimal | None:
        entry = entries.get(key)
        return _reads(_RATE, entry.get("value")) if isinstance(entry, dict) else None

    low, high = rate("fee.min"), rate("fee.max")
    if low is None or high is None or low <= high:
        return []
    clause = entries["fee.min"].get("clause", "")
    return [f"fee.min ({clause}): {low} is above fee.max {high}; allowed: fee.min up to fee.max"]


def _unknown(key: str) -> str:
    near = [known for known in SETTINGS if known.startswith(f"{key}.")] or get_close_matches(key, SETTINGS)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    return f'{key}: unknown setting; {hint}a key with dots is quoted: [settings."need.cap"]; allowed: {_KEYS}'


def problems_of_settings(entries: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the settings: unknown and missing keys, values not allowed or contradicting each other."""
    found = [_unknown(key) for key in entries if key not in SETTINGS]
    found += [f"{key}: missing; allowed: {allowed.words}" for key, allowed in SETTINGS.items() if key not in entries]
    found += [line for key, entry in entries.items() if key in SETTINGS and (line := _problem(key, entry))]
    return found + _between(entries)

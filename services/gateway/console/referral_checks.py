"""What a referral's form can say while it is filled in: is the code right, is it taken, which size does this make."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.auth.callers import Caller
from services.gateway.console import forms
from services.gateway.console.words import say, word
from services.gateway.projections.tables import cases
from shared.money import parse_yuan
from shared.scheme.refusals import Language, explain
from shared.scheme.size import MissingFigure, UnknownIndustry, classify, load_standard
from shared.uscc import problem_with

OPEN = ("referred", "returned", "admitted")
FIGURES = ("industry", "employees", "revenue", "assets")


class Check(NamedTuple):
    """What is said beside a field; ``warn`` does not stop the referral."""

    state: Literal["ok", "warn", "bad", "none"]
    message: str


async def check_code(connection: AsyncConnection, caller: Caller, code: str, language: Language) -> list[Check]:
    """The credit code as typed: its characters, its two checks, where it was registered, and whether it is taken."""
    code = code.strip().upper()
    if not code:
        return []
    if problem := problem_with(code):
        return [Check("bad", explain("eligible.code", problem, {"uscc": code, "length": str(len(code))}, language))]
    found = [Check("ok", say(language, "代码正确。")), *_region(caller, code, language)]
    query = select(cases).where(cases.c.scheme == caller.scheme.id, cases.c.uscc == code)
    case = (await connection.execute(query)).one_or_none()
    return [*found, *(_taken(caller, case, language) if case is not None else ())]


def _region(caller: Caller, code: str, language: Language) -> list[Check]:
    """Where the code was given out: a hint only, the region digits never accept or refuse (eligible.code)."""
    own = str(caller.scheme.value("region"))
    if code[2:8] == own:
        return []
    text = "代码中的登记机关区划为 %(code)s，与本区 %(own)s 不同：请核对注册地，不影响推荐。"
    return [Check("warn", say(language, text, code=code[2:8], own=own))]


def _taken(caller: Caller, case: Any, language: Language) -> list[Check]:
    found = []
    status = case.review_status or case.referral_status
    if case.referral_status in OPEN:
        figures = {
            "uscc": case.uscc,
            "name": case.name,
            "status": word(language, "status", status),
            "recommender": organisation(caller, case.recommender, language),
            "referred_on": str(case.referred_on or "—"),
            "loan_no": case.loan_no or "",
        }
        reason = "financed" if case.loan_no else ""
        found.append(Check("bad", explain("eligible.open_case", reason, figures, language)))
    if case.barred_until is not None:
        found.append(Check("warn", say(language, "该企业曾列入失信限制，至 %(day)s。", day=case.barred_until)))
    return found


def organisation(caller: Caller, identifier: str, language: Language) -> str:
    """An agency's name in a language, else its id."""
    known = caller.scheme.organisations.get(identifier)
    return identifier if known is None else known.name if language == "zh" else known.en


def industries(caller: Caller, language: Language) -> list[tuple[str, str]]:
    """The industries of the scheme's size standard with their names."""
    standard = load_standard(str(caller.scheme.value("size_standard")))
    return [
        (one.key, one.name if language == "zh" else word(language, "industry", one.key))
        for one in standard.industries.values()
    ]


def check_size(caller: Caller, posted: Mapping[str, Sequence[str]], language: Language) -> list[Check]:
    """The size that the figures so far make (eligible.size), or which figure the industry still needs."""
    fields = [one for one in forms.form_of("ReferEnterprise").fields if one.name in FIGURES]
    data = forms.read(fields, posted)
    if "industry" not in data:
        return []
    try:
        amounts = {name: parse_yuan(data[name]) for name in ("revenue", "assets") if name in data}
        employees = data.get("employees")
        if employees is not None and not isinstance(employees, int):
            raise ValueError
        standard = str(caller.scheme.value("size_standard"))
        found = classify(standard, data["industry"], employees, amounts.get("revenue"), amounts.get("assets"))
    except MissingFigure as missing:
        return [Check("none", say(language, "还需填写：%(what)s。", what=word(language, "field", missing.name)))]
    except UnknownIndustry:
        return [Check("bad", say(language, "请从所列选项中选择"))]
    except ValueError:
        return [Check("bad", say(language, "从业人员填整数，金额填元，如 1000000.00。"))]
    made = say(language, "按划型标准为%(size)s企业。", size=word(language, "size", found.size))
    if found.size == "large":
        return [Check("bad", made + say(language, "大型企业不在支持范围内。"))]
    if found.micro_with_large_indicator:
        return [Check("warn", made + say(language, "有指标达到大型标准，初筛时会提示核对。"))]
    return [Check("ok", made)]

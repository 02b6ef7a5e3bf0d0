"""The referral's own form: checked as it is typed, with its materials, saved while it is made."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from services.gateway.api.problems import Problem
from services.gateway.api.resources import reading
from services.gateway.auth.callers import Caller
from services.gateway.auth.permissions import needs
from services.gateway.console import drafts, forms
from services.gateway.console.documents import materials_of
from services.gateway.console.doing import key_of, perform, posted_fields, sent_back
from services.gateway.console.pieces import moment
from services.gateway.console.referral_checks import check_code, check_size, industries
from services.gateway.console.shell import Shell, page_language
from services.gateway.console.words import say, word
from services.gateway.documents.formats import LARGEST_BYTES
from services.gateway.documents.intake import Documents
from services.gateway.documents.multipart import chunks_of, is_multipart, posted_form
from services.gateway.documents.queries import document_list
from services.gateway.policy import GatewayPolicy
from services.gateway.queries.cases import one_case
from services.gateway.views import CaseDetailView
from shared.contracts.commands import AmendReferral
from shared.scheme.refusals import Language, explain
from shared.uscc import problem_with

REFER, AMEND, LETTER = "ReferEnterprise", "AmendReferral", "recommendation_letter"
MOST_FILES = 40
_ALL_FILES_BYTES = 5 * LARGEST_BYTES
Posted = dict[str, list[str]]


@dataclass
class Sheet:
    """The form as it stands: what is filled in, what came with it, what is wrong."""

    command: str
    uscc: str
    posted: Posted
    files: Mapping[str, list[UploadFile]] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    case: CaseDetailView | None = None
    draft: drafts.Draft | None = None

    @property
    def address(self) -> str:
        return f"/refer/{self.uscc}" if self.command == AMEND else "/refer"

    @property
    def form(self) -> str:
        """The name under which its draft is kept."""
        return f"{AMEND}/{self.uscc}" if self.command == AMEND else REFER


class Referral:
    """What the routes share."""

    def __init__(self, shell: Shell) -> None:
        self.shell, self.service, self.room = shell, shell.service, Documents(shell.service)

    async def blank(self, caller: Caller, uscc: str | None) -> Sheet:
        """An empty form, or an amendment filled with what was referred; with the person's draft over it."""
        if uscc is None:
            needs(caller, REFER)
            posted: Posted = {"region": [str(caller.scheme.value("region"))], "registration": ["active"]}
            sheet = Sheet(REFER, "", posted)
        else:
            needs(caller, AMEND)
            case = await self._own_case(caller, uscc)
            sheet = Sheet(AMEND, uscc, _flat(case.application or {}), case=case)
        sheet.draft = await drafts.find(self.service, caller, sheet.form)
        if sheet.draft is not None:
            sheet.posted = sheet.draft.fields
        return sheet

    async def _own_case(self, caller: Caller, uscc: str) -> CaseDetailView:
        async with reading(self.service) as connection:
            policy = caller.scheme.policy(GatewayPolicy)
            case = await one_case(connection, caller.scheme.id, policy, uscc, caller.party)
        if case is None:
            raise Problem(404, "unknown", "case", {"uscc": uscc[:64]}, scheme=caller.scheme)
        if case.recommender != caller.organisation:
            figures = {"uscc": uscc, "recommender": case.recommender}
            raise Problem(403, "permission", "recommender", figures, scheme=caller.scheme)
        return case

    async def page(self, request: Request, caller: Caller, sheet: Sheet, problem: Problem | None = None) -> Response:
        """The form, with what can be said of it so far."""
        language, uscc = page_language(request), sheet.uscc or _one(sheet.posted, "uscc").upper()
        async with reading(self.service) as connection:
            code = [] if sheet.command == AMEND else await check_code(connection, caller, uscc, language)
            papers = (await document_list(connection, caller, uscc)).items if uscc else []
        materials = materials_of(caller)
        return await self.shell.page(
            request,
            caller,
            "referral/form.html",
            status=problem.status if problem else 422 if sheet.wrong else 200,
            sheet=sheet,
            uscc=uscc,
            fields={one.name: one for one in forms.form_of(REFER).fields},
            options=_options(caller, language),
            materials=materials,
            letter=LETTER,
            papers={kind: [one for one in papers if one.kind == kind] for kind in (*materials, LETTER)},
            code_checks=code,
            size_checks=check_size(caller, sheet.posted, language),
            key=key_of(sheet.posted),
            problem=problem,
            detail=problem and _detail(problem, caller, language),
        )

    async def take(self, request: Request, caller: Caller, sheet: Sheet) -> Response:
        """What a button of the form asks for: keep the draft, throw it away, or send the referral."""
        wish = _one(sheet.posted, "_do")
        if wish == "discard":
            await drafts.drop(self.service, caller, sheet.form)
            return RedirectResponse(sheet.address, 303)
        await self._take_files(caller, sheet, page_language(request))
        if wish == "draft":
            await drafts.save(self.service, caller, sheet.form, sheet.posted)
            saved = RedirectResponse(f"{sheet.address}?saved=1", 303)
            return await self.page(request, caller, sheet) if sheet.wrong else saved
        if sheet.wrong:
            return await self.page(request, caller, sheet)
        data = _changes(sheet) if sheet.command == AMEND else forms.read(forms.form_of(REFER).fields, sheet.posted)
        try:
            shown = await perform(self.shell, request, caller, sheet.command, data, key_of(sheet.posted))
        except Problem as problem:
            return await self.page(request, caller, sheet, problem)
        await drafts.drop(self.service, caller, sheet.form)
        return sent_back(f"/cases/{data['uscc']}", sheet.command, shown)

    async def _take_files(self, caller: Caller, sheet: Sheet, language: Language) -> None:
        """Keep the files that came along and tick what they prove; say at each what is wrong with it."""
        about = sheet.uscc or _one(sheet.posted, "uscc")
        for kind, file in ((kind, one) for kind, several in sheet.files.items() for one in several):
            if problem_with(about) is not None:
                sheet.wrong[f"file.{kind}"] = say(language, "请先填写正确的统一社会信用代码，再上传文件。")
                continue
            try:
                await self.room.upload(caller, about, kind, file.filename or "", chunks_of(file))
            except Problem as problem:
                sheet.wrong[f"file.{kind}"] = _detail(problem, caller, language)
            else:
                ticked = sheet.posted.setdefault("materials", [])
                if kind != LETTER and kind not in ticked:
                    ticked.append(kind)


def routes(shell: Shell) -> APIRouter:
    """``/refer`` and ``/refer/{uscc}``, their live checks and their drafts."""
    router = APIRouter(include_in_schema=False)
    referral = Referral(shell)
    _live(router, shell, referral)

    @router.get("/refer")
    async def refer(request: Request, caller: Caller = shell.signed_in) -> Response:
        return await referral.page(request, caller, await referral.blank(caller, None))

    @router.post("/refer")
    async def send(request: Request, caller: Caller = shell.signed_in) -> Response:
        return await _posted(referral, request, caller, None)

    @router.get("/refer/{uscc}")
    async def amend(request: Request, uscc: str, caller: Caller = shell.signed_in) -> Response:
        return await referral.page(request, caller, await referral.blank(caller, uscc))

    @router.post("/refer/{uscc}")
    async def send_amendment(request: Request, uscc: str, caller: Caller = shell.signed_in) -> Response:
        return await _posted(referral, request, caller, uscc)

    return router


def _live(router: APIRouter, shell: Shell, referral: Referral) -> None:
    @router.get("/refer/check")
    async def check(request: Request, uscc: str = "", caller: Caller = shell.signed_in) -> JSONResponse:
        needs(caller, REFER)
        async with reading(shell.service) as connection:
            found = await check_code(connection, caller, uscc[:100], page_language(request))
        return JSONResponse(
            {
                "ok": bool(found) and all(one.state != "bad" for one in found),
                "message": " ".join(one.message for one in found),
                "checks": [one._asdict() for one in found],
            }
        )

    @router.get("/refer/size")
    async def size(request: Request, caller: Caller = shell.signed_in) -> JSONResponse:
        needs(caller, REFER)
        typed = {name: [value[:100]] for name, value in request.query_params.items()}
        found = check_size(caller, typed, page_language(request))
        return JSONResponse({"checks": [one._asdict() for one in found]})

    @router.post("/refer/draft")
    async def draft(request: Request, caller: Caller = shell.signed_in) -> JSONResponse:
        """Saved while typing: without the files, which are kept when they are chosen."""
        uscc = request.query_params.get("amends")
        sheet = await referral.blank(caller, uscc)
        saved = await drafts.save(shell.service, caller, sheet.form, await posted_fields(request))
        language = page_language(request)
        return JSONResponse({"message": say(language, "草稿已保存 %(when)s", when=moment(saved)) if saved else ""})


async def _posted(referral: Referral, request: Request, caller: Caller, uscc: str | None) -> Response:
    sheet = await referral.blank(caller, uscc)
    async with _form(request) as (sheet.posted, sheet.files):
        code = uscc or _one(sheet.posted, "uscc").upper()
        sheet.posted["uscc"] = [code]
        return await referral.take(request, caller, sheet)


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[tuple[Posted, dict[str, list[UploadFile]]]]:
    """The fields, and the files by the material they are for; empty file fields are passed over."""
    if not is_multipart(request):
        yield await posted_fields(request), {}
        return
    async with posted_form(request, _ALL_FILES_BYTES, MOST_FILES) as form:
        posted: Posted = {}
        files: dict[str, list[UploadFile]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                posted.setdefault(name, []).append(value.replace("\r\n", "\n").replace("\0", ""))
            elif name.startswith("file.") and value.filename:
                files.setdefault(name.removeprefix("file."), []).append(value)
        yield posted, files


def _one(posted: Mapping[str, Sequence[str]], name: str) -> str:
    return "".join(posted.get(name, ())[-1:]).strip()


def _options(caller: Caller, language: Language) -> dict[str, list[tuple[str, str]]]:
    sectors = [*caller.scheme.policy(GatewayPolicy).priority_sectors, "other"]
    return {
        "industry": industries(caller, language),
        "sector": [(code, word(language, "value", code)) for code in sectors],
        "party": [(code, word(language, "party", code)) for code in ("enterprise", "actual_controller")],
    }


def _detail(problem: Problem, caller: Caller, language: Language) -> str:
    return problem.detail or explain(problem.rule, problem.reason, problem.figures, language, caller.scheme)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Posted:
    """What was referred, as the form would have sent it."""
    found: Posted = {}
    for name, one in value.items():
        path = prefix + name
        if isinstance(one, Mapping):
            found |= _flat(one, f"{path}.")
        elif isinstance(one, list) and any(isinstance(row, Mapping) for row in one):
            for at, row in enumerate(one):
                found |= _flat(row, f"{path}.{at}.")
        elif one not in (None, []):
            found[path] = [str(part) for part in (one if isinstance(one, list) else [one])]
    return found


def _changes(sheet: Sheet) -> dict[str, Any]:
    """The fields of an amendment that differ from what was referred; a list that was emptied is empty now."""
    assert sheet.case is not None
    fields = forms.form_of(AMEND).fields
    before = _canonical({**forms.read(fields, _flat(sheet.case.application or {})), "uscc": sheet.uscc})
    after = _canonical({**forms.read(fields, sheet.posted), "uscc": sheet.uscc})
    lists = {one.name for one in fields if one.kind in ("choices", "tokens", "rows")}
    emptied: dict[str, Any] = {name: [] for name in lists & before.keys() - after.keys()}
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return {**emptied, **changed, "uscc": sheet.uscc}


def _canonical(data: dict[str, Any]) -> dict[str, Any]:
    """As the contract writes it (a share of 1 is 1.00); as it is when the contract would refuse it."""
    try:
        return AmendReferral.model_validate_json(json.dumps(data)).model_dump(mode="json", exclude_unset=True)
    except ValidationError:
        return data

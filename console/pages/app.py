"""The pages as a web application: every page is rendered here, on the server; the browser only draws the chart."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.staticfiles import StaticFiles

from console import alerting, locale, telling
from console.locale import LANGS, NAMES, Lang, preferred
from console.pages import view
from console.pages.security import Guard
from console.pages.store import Store
from console.series import asked, cells, expected_windows, series
from console.texts import translator
from console.words import OUTCOMES, REASONS, RULES, described, plain
from policy.agreement import Draft
from policy.kpi import Kpi

HERE: Final = Path(__file__).parent
LONGEST_CELL_KEY: Final = 200


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.globals |= {
        "view": view, "telling": telling, "alerting": alerting, "locale": locale, "plain": plain,
        "described": described, "RULES": RULES, "REASONS": REASONS, "OUTCOMES": OUTCOMES, "LANGS": LANGS,
        "NAMES": NAMES,
    }
    return environment


class _Pages:
    """Renders templates with what every page needs."""

    def __init__(self, store: Store, draft: Draft) -> None:
        self._store = store
        self._draft = draft
        self._zone = ZoneInfo(draft.panes.zone)
        self._environment = _environment()

    def lang(self, request: Request) -> Lang:
        """The reader's language."""
        return preferred(request.query_params.get("lang"), request.headers.get("accept-language", ""))

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """An answer with the page in the reader's language."""
        lang = self.lang(request)

        def link(path: str, **params: str) -> str:
            return f"{path}?{urlencode({k: v for k, v in {'lang': lang, **params}.items() if v})}"

        html = self._environment.get_template(template).render(
            lang=lang, t=translator(lang), link=link, path=request.url.path,
            kept={k: v[:LONGEST_CELL_KEY] for k, v in request.query_params.items() if k == "cell"},
            draft=self._draft, document=self._store.current(), version=self._store.version,
            moment=self._time, agreement=self._draft.title.of(lang),
            updated=self._time(self._store.updated, lang), **values,
        )
        return HTMLResponse(html, status_code=status, headers={"Content-Language": lang, "Vary": "Accept-Language"})

    def _time(self, at: datetime, lang: Lang) -> str:
        local = at.astimezone(self._zone)
        return f"{locale.day(local.date(), lang)}, {local:%H:%M:%S}"


def create_app(store: Store, kpis: Iterable[Kpi], draft: Draft, reader: str | None = None) -> FastAPI:
    """The pages over a store.

    Args:
        store: holds the document; may change at any time.
        kpis: the agreement's KPI programs, in the order in which they are shown.
        draft: the agreement: its windows, recipients and minimum are shown.
        reader: the recipient whose pages they are: only its KPIs have one; None shows all.
    """
    named = {kpi.id: kpi for kpi in kpis}
    readable = {k for r in draft.recipients if reader in {None, r.name} for k in r.kpis}
    by_id = {kpi_id: kpi for kpi_id, kpi in named.items() if kpi_id in readable}
    expected = expected_windows(draft)
    pages = _Pages(store, draft)
    app = FastAPI(title="Winnow", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    def known(kpi_id: str) -> Kpi:
        if kpi_id not in by_id:
            raise HTTPException(404, f"no KPI {kpi_id!r}; this agreement has {', '.join(by_id)}")
        return by_id[kpi_id]

    @app.get("/")
    async def overview(request: Request) -> HTMLResponse:
        document = store.current()
        totals = [series(document, kpi, {}, expected) for kpi in by_id.values()]
        return pages.render(
            request, "overview.html", totals=totals, refused=view.refused_rules(document), named=named,
        )

    @app.get("/kpi/{kpi_id}/data.csv")
    async def kpi_csv(kpi_id: str) -> Response:
        text = view.as_csv(store.current(), known(kpi_id), expected)
        return Response(text, media_type="text/csv", headers=_attachment(f"{kpi_id}.csv"))

    @app.get("/kpi/{kpi_id}/data.json")
    async def kpi_json(kpi_id: str) -> Response:
        text = view.as_json(store.current(), known(kpi_id))
        return Response(text, media_type="application/json", headers=_attachment(f"{kpi_id}.json"))

    @app.get("/kpi/{kpi_id}")
    async def kpi_page(request: Request, kpi_id: str, cell: str = "") -> HTMLResponse:
        kpi = known(kpi_id)
        chosen = telling.cell_of(kpi, cell)
        if chosen is None:
            raise HTTPException(404, f"KPI {kpi_id} has no cell {cell[:LONGEST_CELL_KEY]!r}")
        shown = series(store.current(), kpi, chosen, expected)
        return pages.render(
            request, "kpi.html", kpi=kpi, shown=shown, cells=cells(kpi),
            chart=view.chart(shown, pages.lang(request)), asked=asked(store.current(), kpi, chosen, expected),
            recipients=", ".join(r.name for r in draft.recipients if kpi_id in r.kpis),
        )

    @app.get("/runs")
    async def runs(request: Request) -> HTMLResponse:
        phases = list(dict.fromkeys(phase for run in store.current().runs for phase in run.seconds))
        return pages.render(request, "runs.html", phases=phases)

    @app.get("/events")
    async def events(request: Request) -> HTMLResponse:
        return pages.render(request, "events.html")

    @app.get("/state.json")
    async def state() -> JSONResponse:
        return JSONResponse({"version": store.version, "running": store.current().status == "running"})

    @app.get("/favicon.ico")
    async def favicon() -> RedirectResponse:
        return RedirectResponse("/static/favicon.svg")

    @app.exception_handler(StarletteHTTPException)
    async def failed(request: Request, error: StarletteHTTPException) -> HTMLResponse:
        return pages.render(request, "error.html", status=error.status_code, code=error.status_code)

    return app


def _attachment(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}

"""A document as one HTML page that needs nothing but itself."""

from collections.abc import Iterator
from html import escape

from benchmarks.aims import aims, missed
from benchmarks.document import Document, Run, Table
from benchmarks.svg import STYLE, svg

PAGE_STYLE = """
:root{color-scheme:light dark;--back:#fbfcfd;--card:#fff;--ink:#1c2733;--soft:#66727f;--edge:#e3e7eb;--row:#f4f7f9}
@media(prefers-color-scheme:dark){:root{--back:#12171c;--card:#1a2128;--ink:#e6ebf0;--soft:#9aa7b4;--edge:#2c353e;--row:#202830}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink)}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:960px;margin:0 auto;padding:40px 24px 80px}h1{font-size:30px;line-height:1.2;margin:0 0 6px}
h2{font-size:19px;margin:48px 0 12px}h3{font-size:15px;margin:28px 0 6px}
p,li{max-width:72ch}.soft,figcaption,footer{color:var(--soft)}
figure{margin:0 0 20px;background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:18px 20px}
figcaption{font-size:13px;margin-top:6px}svg{width:100%;height:auto;display:block}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--edge);border-radius:10px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px;text-align:right;white-space:nowrap}th:first-child,td:first-child,td[colspan]{text-align:left}
td[colspan]{white-space:normal;color:var(--soft)}
thead th{font-size:12.5px;color:var(--soft);font-weight:600;border-bottom:1px solid var(--edge)}
tbody tr:nth-child(even){background:var(--row)}tbody th{font-weight:500}
code{font:13px ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
details{margin-top:12px}summary{cursor:pointer}nav{margin:18px 0 8px}nav a{color:var(--soft);margin-right:16px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:12px 0}dt{color:var(--soft)}dd{margin:0}
"""


LEAD = "Measured against the least that it could cost, in the same run. Of bars and lines the shorter is the better."


def page(document: Document) -> str:
    """The whole of it."""
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1"><title>imd: what it costs</title>',
            f"<style>{PAGE_STYLE}{STYLE}</style></head><body><main>",
            "<h1>What imd costs</h1>",
            f'<p class="soft">{LEAD}</p>',
            *_nav(document),
            *_plots(document),
            *_aims(document),
            *_tables(document),
            *_refusals(document),
            '<h2 id="machine">The machine, and the command</h2>',
            *(part for run in document.runs for part in _run(run)),
            "</main></body></html>",
            "",
        ]
    )


def _nav(document: Document) -> Iterator[str]:
    found = [
        ("plots", document.plots),
        ("aims", aims(document)),
        ("tables", document.tables),
        ("refused", document.refusals),
        ("machine", True),
    ]
    links = [f'<a href="#{name}">{name}</a>' for name, there in found if there]
    yield f"<nav>{''.join(links)}</nav>"


def _plots(document: Document) -> Iterator[str]:
    if document.plots:
        yield '<h2 id="plots">At a glance</h2>'
    for plot in document.plots:
        note = f"<figcaption>{escape(plot.note)}</figcaption>" if plot.note else ""
        yield f"<figure>{svg(plot, style=False)}{note}</figure>"


def _aims(document: Document) -> Iterator[str]:
    wanted = aims(document)
    if wanted is None:
        return
    count, short = len(wanted.rows), len(missed(document))
    yield f'<h2 id="aims">{escape(wanted.title)}</h2>'
    said = f"{count - short} of {count} aims are met, of what could be measured"
    yield f"<details{' open' if short else ''}><summary>{said}</summary>"
    yield from _table(wanted)
    yield f'<p class="soft">{escape(wanted.note)}</p></details>'


def _tables(document: Document) -> Iterator[str]:
    if document.tables:
        yield '<h2 id="tables">Figures</h2>'
    for table in document.tables:
        yield f"<h3>{escape(table.title)}</h3>"
        yield from _table(table)
    notes = dict.fromkeys(table.note for table in document.tables if table.note)
    if notes:
        yield "<h3>How to read them</h3>"
        yield from (f'<p class="soft">{escape(note)}</p>' for note in notes)


def _table(table: Table) -> Iterator[str]:
    heads = "".join(f"<th>{escape(title)}</th>" for title in ("", *table.columns))
    yield f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>'
    for name, *cells in table.rows:
        if len(cells) > 1 and not any(cells[1:]):
            shown = f'<td colspan="{len(cells)}">{escape(cells[0])}</td>'
        else:
            shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>{shown}</tr>'
    yield "</tbody></table></div>"


def _refusals(document: Document) -> Iterator[str]:
    if not document.refusals:
        return
    yield '<h2 id="refused">Refused</h2>'
    count = len(document.refusals)
    yield f"<details><summary>{count} windows could not be believed, and counted for nothing</summary><ul>"
    for refusal in document.refusals:
        yield f"<li>{escape(refusal.where)}: {escape('; '.join(refusal.reasons))}</li>"
    yield "</ul></details>"


def _run(run: Run) -> Iterator[str]:
    yield f"<p><code>{escape(run.command)}</code></p><dl>"
    for name, value in (("began", run.began), ("took", f"{run.seconds:.0f} s"), *run.machine.items()):
        yield f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
    yield "</dl>"

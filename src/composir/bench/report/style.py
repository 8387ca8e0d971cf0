"""The page's style sheet: light and dark by the reader's own setting."""

STYLE = """
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1d1f23;--soft:#62676f;
--line:#e2e3e6;--good:#13733c;--bad:#b3261e;--hit:#13a04b;--warn-ink:#6a4a00;--warn:#fff3d1}
@media (prefers-color-scheme:dark){:root{--page:#141619;--card:#1c1f23;--ink:#e7e9ec;
--soft:#9aa1ab;--line:#31353b;--good:#62d391;--bad:#ff8a80;--hit:#3ddc7f;--warn-ink:#ffe2a0;
--warn:#3a2f10}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:21px;margin:44px 0 4px}
h3{font-size:16px;margin:28px 0 8px}h4{font-size:15px;margin:22px 0 2px}
p{margin:4px 0 10px}.soft,caption,.note{color:var(--soft)}.note{font-size:13.5px}
.warn{background:var(--warn);color:var(--warn-ink);padding:8px 12px;border-radius:6px;
font-weight:600;margin:10px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;min-width:min(100%,560px);font-variant-numeric:tabular-nums}
th,td{padding:7px 14px 7px 0;text-align:right;border-bottom:1px solid var(--line);
vertical-align:top;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}
thead th{font-weight:600;color:var(--soft);font-size:13.5px}
td small{display:block;color:var(--soft);font-size:12.5px}
.top{font-weight:700}.up{color:var(--good)}.down{color:var(--bad)}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:28px}
svg{width:100%;max-width:680px;height:auto;display:block}
.grid{stroke:var(--line);stroke-width:1}.tick{fill:var(--soft);font-size:12px}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round}
.whisker{stroke:var(--ink);stroke-width:1.25;opacity:.65}
.legend{list-style:none;padding:0;margin:8px 0 0;display:flex;flex-wrap:wrap;gap:4px 18px;
font-size:13.5px}
.swatch{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;
vertical-align:-1px}
.query{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:12px 14px;margin:10px 0;display:grid;grid-template-columns:minmax(0,116px) minmax(0,1fr);
gap:6px 18px;align-items:start}
.query.words{grid-template-columns:minmax(0,1fr)}
.asked{grid-column:1/-1;font-weight:600;overflow-wrap:anywhere}
.asked small{font-weight:400;color:var(--soft);margin-left:8px}
.row{display:grid;grid-template-columns:repeat(10,minmax(0,1fr));gap:7px;padding:3px}
.of{font-size:13px;color:var(--soft);margin:4px 0 0 3px}
.tile{aspect-ratio:1;border-radius:6px;background:var(--line) center/contain
no-repeat;font-size:10.5px;line-height:1.3;padding:4px;overflow:hidden;color:var(--soft);
overflow-wrap:anywhere}
.tile.said{background:var(--page);border:1px solid var(--line);color:var(--ink)}
.tile.ref{width:108px}
.tile.truth{outline:3px solid var(--hit);outline-offset:0}
@media (max-width:760px){.row{grid-template-columns:repeat(5,minmax(0,1fr))}
.query{grid-template-columns:minmax(0,1fr)}}
details{margin:14px 0}summary{cursor:pointer;color:var(--soft)}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 16px;font-size:13.5px;
margin:8px 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
footer{margin-top:48px;color:var(--soft);font-size:13.5px}
"""

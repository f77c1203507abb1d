"""The style sheet of a report: one column, light and dark, on screen and paper."""

CSS = """
:root { --ink: #1d2126; --muted: #5b6470; --paper: #fff; --card: #f5f7f9;
  --line: #d9dfe5; --accent: #0b62a4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e9ee; --muted: #a3adb8; --paper: #14181c; --card: #1e242a;
    --line: #37404a; --accent: #7fc0f5; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 960px;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.25; letter-spacing: -0.01em; }
header { margin-bottom: 2rem; padding-bottom: 1.25rem;
  border-bottom: 3px solid var(--accent); }
header p { margin: 0.5rem 0 0; max-width: none;
  font-size: 1.1rem; color: var(--muted); }
h2 { margin: 2.75rem 0 0.75rem; font-size: 1.35rem; line-height: 1.3; }
p { margin: 0 0 1rem; max-width: 46rem; }
dl { display: grid; gap: 0.9rem 1.5rem; margin: 1.25rem 0; padding: 1.1rem 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  background: var(--card); border-radius: 8px; }
dt { font-size: 0.85rem; color: var(--muted); }
dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { margin: 1.5rem 0; overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.95rem;
  font-variant-numeric: tabular-nums; }
caption { padding-bottom: 0.6rem; text-align: left; color: var(--muted); }
th, td { padding: 0.5rem 0.75rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tbody th { font-weight: 400; }
strong { font-weight: 700; color: var(--accent); }
.l { text-align: left; } .c { text-align: center; } .r { text-align: right; }
td.r { white-space: nowrap; }
figure { margin: 1.75rem 0; }
figure img { display: block; max-width: calc(100% - 1.5rem - 2px); height: auto;
  padding: 0.75rem; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; box-sizing: content-box; }
figcaption { margin-top: 0.6rem; font-size: 0.92rem; color: var(--muted); }
@media print {
  :root { --ink: #000; --muted: #444; --paper: #fff; --card: #f5f7f9;
    --line: #bbb; --accent: #0b62a4; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, table, dl { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; } }
"""

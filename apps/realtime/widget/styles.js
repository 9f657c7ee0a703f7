const DARK = "--bg: #16191b; --fg: #e9eeee; --soft: #23282b; --line: #3a4246; --muted: #a3afb3; --warn-bg: #3d3210; --warn-fg: #ffe6a3; --bad: #ff8a80;";

const CSS = `
:host { all: initial; --brand: #0f5c5c; --on-brand: #fff; --bg: #fff; --fg: #1c2226; --soft: #f1f4f4; --line: #d9e0e0; --muted: #566166; --warn-bg: #fff4d6; --warn-fg: #5c4300; --bad: #b3261e;
font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--fg); }
:host([data-theme="dark"]) { ${DARK} }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
button, textarea, input { font: inherit; color: inherit; }
button { cursor: pointer; border: 0; background: none; padding: 0; border-radius: 8px; }
:focus-visible { outline: 3px solid var(--brand); outline-offset: 2px; box-shadow: 0 0 0 2px var(--bg); }
.launcher { position: fixed; z-index: 2147483000; right: 20px; bottom: 20px; width: 60px; height: 60px; border-radius: 50%; background: var(--brand); color: var(--on-brand);
box-shadow: 0 6px 20px rgb(0 0 0 / .28); display: grid; place-items: center; transition: transform .15s; }
.launcher.worded { display: flex; align-items: center; gap: 10px; width: auto; max-width: calc(100vw - 40px); padding: 0 22px; border-radius: 30px; font-weight: 600; }
.launcher.left { right: auto; left: 20px; } .panel.left { right: auto; left: 20px; }
.launcher:hover { transform: scale(1.05); }
.badge { position: absolute; top: -4px; right: -4px; min-width: 22px; height: 22px; border-radius: 11px; padding: 0 6px; background: #c62828; color: #fff; font-size: 12px; line-height: 22px; text-align: center; }
.panel { position: fixed; z-index: 2147483000; right: 20px; bottom: 94px; width: 384px; height: min(640px, calc(100vh - 114px)); display: flex; flex-direction: column; overflow: hidden; container-type: size;
background: var(--bg); border: 1px solid var(--line); border-radius: 16px; box-shadow: 0 16px 48px rgb(0 0 0 / .26); animation: rise .18s ease-out; }
@keyframes rise { from { opacity: 0; transform: translateY(12px); } }
header { display: flex; align-items: center; gap: 4px; padding: 14px 10px 14px 18px; background: var(--brand); color: var(--on-brand); }
h2 { flex: 1; margin: 0; font-size: 17px; font-weight: 650; }
header button { width: 38px; height: 38px; display: grid; place-items: center; }
header button:hover { background: rgb(255 255 255 / .16); }
header button:focus-visible, .launcher:focus-visible { outline-color: #fff; box-shadow: 0 0 0 5px var(--brand); }
.banner { padding: 8px 18px; font-size: 13px; background: var(--soft); color: var(--muted); border-bottom: 1px solid var(--line); }
.banner.warn { background: var(--warn-bg); color: var(--warn-fg); }
.entry { flex: none; }
.scroll { flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain; padding: 16px 14px; }
.thread, .live { display: flex; flex-direction: column; gap: 12px; }
.live { margin-top: 12px; }
.msg { max-width: 86%; display: flex; flex-direction: column; gap: 3px; align-self: flex-start; }
.msg.customer { align-self: flex-end; align-items: flex-end; }
.msg.system { align-self: center; text-align: center; }
.who { font-size: 12px; color: var(--muted); padding: 0 4px; }
.text { padding: 9px 13px; border-radius: 14px; background: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere; border-bottom-left-radius: 4px; }
.customer .text { background: var(--brand); color: var(--on-brand); border-bottom-left-radius: 14px; border-bottom-right-radius: 4px; }
.system .text { background: none; color: var(--muted); font-size: 13px; }
.agent .text { border: 1px solid var(--brand); }
.pending .text { opacity: .7; }
.note { font-size: 12px; color: var(--muted); padding: 0 4px; }
.failed .note { color: var(--bad); }
.note button, a { color: inherit; text-decoration: underline; text-underline-offset: 2px; }
.cite { font-size: 11px; line-height: 16px; min-width: 18px; margin: 0 1px; padding: 0 4px; border-radius: 5px; vertical-align: 2px; background: var(--brand); color: var(--on-brand); }
details { font-size: 13px; width: 100%; }
summary { cursor: pointer; color: var(--muted); padding: 3px 4px; border-radius: 6px; }
ol { margin: 4px 0 0; padding: 0; list-style: none; display: grid; gap: 6px; }
li { border: 1px solid var(--line); border-radius: 10px; padding: 8px 10px; }
li:focus { outline: 2px solid var(--brand); }
blockquote { margin: 4px 0 0; padding-left: 8px; border-left: 3px solid var(--line); color: var(--muted); overflow-wrap: anywhere; }
.dots { display: inline-flex; gap: 4px; padding: 13px; border-radius: 14px; background: var(--soft); align-self: flex-start; }
.dots i { width: 7px; height: 7px; border-radius: 50%; background: var(--muted); animation: blink 1.2s infinite; }
.dots i:nth-child(2) { animation-delay: .2s; } .dots i:nth-child(3) { animation-delay: .4s; }
@keyframes blink { 50% { opacity: .25; } }
.rating { align-self: center; text-align: center; font-size: 13px; color: var(--muted); }
.stars button { font-size: 24px; line-height: 1; padding: 4px; color: var(--muted); }
.stars button.on, .stars button:hover, .stars button:has(~ button:hover) { color: #d99400; }
form.composer, .rating form { display: flex; align-items: flex-end; gap: 8px; padding: 10px 12px; border-top: 1px solid var(--line); }
.rating form { border: 0; padding: 6px 0; }
textarea, input { min-width: 0; padding: 9px 12px; border: 1px solid var(--line); border-radius: 12px; background: var(--bg); }
textarea { flex: 1; resize: none; max-height: 120px; }
form.visitor { max-height: calc(100cqh - 120px); flex: none; overflow-y: auto; display: flex; flex-direction: column; gap: 10px; padding: 14px 18px 18px; border-top: 1px solid var(--line); }
.visitor label { display: block; margin-bottom: 3px; font-size: 13px; font-weight: 600; }
.visitor input:not([type="checkbox"]), .visitor textarea { width: 100%; border-color: var(--muted); }
.visitor label.consent { display: flex; gap: 8px; align-items: flex-start; font-weight: 400; }
.consent input { flex: none; width: 18px; height: 18px; margin: 1px 0 0; }
.intro, .error { margin: 0; white-space: pre-line; } .error { color: var(--bad); font-size: 13px; } .optional { font-weight: 400; color: var(--muted); }
[aria-invalid="true"] { border-color: var(--bad) !important; }
button.wide { padding: 11px 16px; border-radius: 12px; background: var(--brand); color: var(--on-brand); font-weight: 600; }
button.wide[aria-disabled="true"] { opacity: .6; }
textarea::placeholder { color: var(--muted); opacity: 1; }
.composer button, .rating form button { flex: none; width: 42px; height: 42px; border-radius: 12px; background: var(--brand); color: var(--on-brand); display: grid; place-items: center; }
.composer button:disabled { opacity: .45; cursor: default; }
textarea:focus-visible, input:focus-visible { outline-width: 2px; outline-offset: -1px; box-shadow: none; }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 480px) { :host(:not([data-preview])) .panel { inset: 0; width: auto; height: 100dvh; border: 0; border-radius: 0; } :host(:not([data-preview])) .panel:not([hidden]) + .launcher { display: none; } textarea, input { font-size: 16px; } }
:host([data-preview]) { display: flex; flex-direction: column; align-items: flex-end; gap: 14px; height: 100%; }
:host([data-preview]) .panel { position: relative; inset: auto; width: 100%; max-width: 384px; height: auto; flex: 1; min-height: 0; animation: none; }
:host([data-preview]) .launcher { position: relative; inset: auto; flex: none; }
:host([data-preview]) .left { align-self: flex-start; }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .launcher, .text, .composer button, button.wide { border: 1px solid; } }`;

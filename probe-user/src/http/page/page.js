// The live page: asks /api/v1 once a second and writes what changed into the page. What the
// daemon says goes in as text, never as markup.
"use strict";

const POLL_MS = 1000;
const HIDDEN_POLL_MS = 15000;
const LONGEST_PAUSE_MS = 10000;
const TIMEOUT_MS = 4000;
const SHOWN_TROUBLES = 8;
const TOLD_ALONE = 3;
const SHOWN_DECISIONS = 50;
// The bar ends here, so that a score beyond the threshold is seen to be beyond.
const BAR_END = 1.25;

const by = (id) => document.getElementById(id);
const MARKS = { fault: "✕", warning: "!", advice: "i" };
const RANKS = { fault: 0, warning: 1, advice: 2 };

/** Writes only what is another text than before: a layout for nothing is slow. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function dress(node, name) {
  if (node.className !== name) node.className = name;
}

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// ---- Words -------------------------------------------------------------------------

function percent(ratio) {
  const value = ratio * 100;
  return `${value.toFixed(value !== 0 && value < 10 ? 1 : 0)} %`;
}

function time(seconds) {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
  return `${seconds.toFixed(1)} s`;
}

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}

const rate = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
const clock = (date) => `${date.toISOString().slice(11, 19)} UTC`;
const words = (name) => name.replaceAll("_", " ");
const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

// ---- Tables ------------------------------------------------------------------------

/** Rows by name. Only those on the screen, or nearly so, are kept up to date: a thousand
 *  rows written each second would be a layout of a quarter of a second. */
class Rows {
  constructor(table, build, fill) {
    this.body = table.tBodies[0];
    this.build = build;
    this.fill = fill;
    this.labels = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent);
    this.rows = new Map();
    this.near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.rows.get(target.dataset.name);
        if (row?.node !== target) continue;
        row.isNear = isIntersecting;
        if (isIntersecting) this.fill(row, row.thing);
      }
    }, { rootMargin: "50%" });
  }

  /** Shows these things in this order: [name, thing]. */
  show(things) {
    const gone = new Set(this.rows.keys());
    let before = null;
    for (const [name, thing] of things) {
      gone.delete(name);
      let row = this.rows.get(name);
      const isNew = !row;
      if (isNew) {
        row = this.build(this.labels);
        row.node.dataset.name = name;
        this.rows.set(name, row);
        this.near.observe(row.node);
      }
      const place = before ? before.nextSibling : this.body.firstChild;
      if (place !== row.node) this.body.insertBefore(row.node, place);
      before = row.node;
      row.thing = thing;
      if (isNew || row.isNear) this.fill(row, thing);
    }
    for (const name of gone) {
      const { node } = this.rows.get(name);
      this.near.unobserve(node);
      node.remove();
      this.rows.delete(name);
    }
  }
}

function row(labels, numbers) {
  const node = make("tr");
  node.setAttribute("role", "row");
  const cells = labels.map((label, index) => {
    const cell = make(index === 0 ? "th" : "td");
    if (index === 0) {
      cell.scope = "row";
      cell.setAttribute("role", "rowheader");
    } else {
      cell.setAttribute("role", "cell");
      cell.dataset.label = label;
    }
    const main = make("span");
    const small = make("small");
    small.hidden = true;
    cell.append(main, small);
    node.append(cell);
    return { cell, main, small, plain: numbers.includes(index) ? "number" : "" };
  });
  return { node, cells };
}

function put({ cell, main, small, plain }, text, more = "", tone = "") {
  say(main, text);
  say(small, more);
  if (small.hidden !== (more === "")) small.hidden = more === "";
  const empty = text === "" && more === "" ? " empty" : "";
  dress(cell, `${plain} ${tone}${empty}`.trim());
}

const ink = (severity) => (severity === "fault" ? "fault-ink" : severity === "warning" ? "warning-ink" : "");
const marked = (severity, text) => (severity === "fault" || severity === "warning" ? `${MARKS[severity]} ${text}` : `✓ ${text}`);

// ---- Prefixes ----------------------------------------------------------------------

const prefixes = new Rows(by("prefixes"), (labels) => row(labels, []), fillPrefix);

const LEVELS = { full: "", degraded: "warning", withdrawn: "fault" };

function fillPrefix({ cells }, prefix) {
  const [name, observed, decided, waits, exported, others, withdrawn] = cells;
  put(name, prefix.prefix, prefix.services.slice(0, 3).join(", ") + (prefix.services.length > 3 ? ` and ${prefix.services.length - 3} more` : ""));
  const level = prefix.observed;
  const severity = level === null ? "" : LEVELS[level];
  put(observed, level === null ? "not read yet" : marked(severity, level), "", level === null ? "" : ink(severity) || "good");
  put(decided, prefix.wanted === null ? "nothing yet" : prefix.wanted, prefix.standing === prefix.wanted ? "" : words(prefix.standing));
  const left = prefix.hold_left_seconds === null ? "" : `${span(prefix.hold_left_seconds)} of the hold left`;
  const orders = prefix.orders.map((order) => `${order.order} by ${order.directive?.by ?? "?"}`);
  put(waits, prefix.waits_for ?? "nothing", [left, ...orders].filter(Boolean).join(", "), prefix.held_by !== null || orders.length ? "warning-ink" : "");
  const { verified, exported_to: sessions, alerts } = prefix.export;
  const told = alerts.map((alert) => alert.sentence).join("; ") || sessions.join(", ");
  put(exported, verified === null ? "not asked" : verified ? "✓ verified" : "✕ not verified", told, verified === null ? "" : verified ? "good" : "fault-ink");
  put(others, prefix.others.length ? prefix.others.map(other).join(", ") : "not known");
  put(withdrawn, prefix.withdrawals === 0 ? "never" : prefix.withdrawals === 1 ? "once" : `${prefix.withdrawals} times`);
}

function other({ site, host, heard }) {
  return `${site}/${host} ${heard.level ?? "stale"}`;
}

// ---- Services ----------------------------------------------------------------------

const services = new Rows(by("services"), (labels) => {
  const made = row(labels, [3, 4, 5, 7]);
  const bar = make("div", "bar");
  const fill = make("i");
  bar.setAttribute("aria-hidden", "true");
  bar.append(fill, make("b"));
  made.cells[6].cell.append(bar);
  return { ...made, bar, fill, score: -1 };
}, fillService);

// Nothing speaks against these, but live trials do not guard them (yet).
const UNGUARDED = { unknown: "?", unguarded: "i", learning: "…" };

function fillService(row, { service, severity }) {
  const [name, state, probe, trials, failing, normal, score, latency] = row.cells;
  put(name, service.name, service.endpoint);
  const mark = ink(severity) === "" ? UNGUARDED[service.state] : undefined;
  put(state, mark ? `${mark} ${service.state}` : marked(severity, words(service.state)), "", mark ? "" : ink(severity) || "good");
  const passes = service.probe_passes;
  put(probe, passes === null ? "none yet" : passes ? "✓ passes" : "✕ fails", "", passes === false ? "fault-ink" : "");
  const { trials_per_second: perSecond, failure_ratio: ratio } = service.recent;
  put(trials, rate(perSecond));
  put(failing, ratio === null ? "no trials" : percent(ratio), "", ratio !== null && service.armed && ratio > service.p0 * 2 && ratio > 0.01 ? "warning-ink" : "");
  put(normal, service.armed ? percent(service.p0) : "learning");
  put(score, percent(service.score_ratio), "", service.score_ratio >= 1 ? "fault-ink" : "");
  if (row.score !== service.score_ratio) {
    row.score = service.score_ratio;
    row.fill.style.width = `${(Math.min(service.score_ratio / BAR_END, 1) * 100).toFixed(1)}%`;
    dress(row.bar, service.score_ratio >= 1 ? "bar over" : "bar");
  }
  const kinds = service.latencies;
  const judged = kinds[service.judged];
  const rest = Object.keys(kinds).filter((kind) => kind !== service.judged && (kind === "request" || kind === "resolve"));
  const pair = ({ p50_seconds: half, p99_seconds: most }) => `${time(half)}, ${time(most)}`;
  put(latency, judged ? pair(judged) : "no answers", rest.map((kind) => `${kind} ${pair(kinds[kind])}`).join("; "));
}

let newest = null;

function showServices() {
  if (!newest) return;
  const needle = by("filter").value.trim().toLowerCase();
  const attention = by("attention").checked;
  const all = newest.services;
  const shown = [];
  for (const service of all) {
    const severity = newest.worst.get(service.name) ?? "";
    const needed = severity === "fault" || severity === "warning";
    const text = `${service.name} ${service.endpoint} ${words(service.state)}`.toLowerCase();
    if ((!attention || needed) && (needle === "" || text.includes(needle))) {
      shown.push([service.name, { service, severity }]);
    }
  }
  services.show(shown);
  say(by("count"), shown.length === all.length ? count(all.length, "service", "services") : `${shown.length} of ${count(all.length, "service", "services")}`);
  by("services").hidden = shown.length === 0;
  const none = by("no-services");
  none.hidden = shown.length !== 0;
  say(none, all.length === 0 ? "Nothing listens here but on loopback." : attention && needle === "" ? "No service needs attention." : "No service is like that.");
}

// ---- Verdict -----------------------------------------------------------------------

let said = "";

/** A sentence without its explanation. */
const headline = ({ sentence }) => sentence.split(/; |, held by /)[0];

/** One line for many of a kind: a dead machine is not a line for each of its services. */
function gathered(troubles) {
  const groups = new Map();
  for (const trouble of troubles) {
    const { subject, kind, sentence } = trouble;
    const key = subject === "service" || subject === "prefix" ? `${subject} ${kind}` : sentence;
    if (groups.has(key)) groups.get(key).push(trouble);
    else groups.set(key, [trouble]);
  }
  return [...groups.values()].flatMap((group) => {
    if (group.length <= TOLD_ALONE) return group;
    const [first] = group;
    const others = `${group.length - 1} other ${first.subject === "service" ? "services" : "prefixes"}`;
    return [{ ...first, sentence: `${headline(first)}; the same is true of ${others}` }];
  });
}

/** The headline is read aloud, so it changes only when something else is wrong. */
function showVerdict(status) {
  const wrong = status.troubles.filter(({ severity }) => severity !== "advice");
  const key = JSON.stringify(wrong.map(({ subject, name, kind }) => [subject, name, kind]));
  const faults = wrong.filter(({ severity }) => severity === "fault").length;
  const level = faults ? "fault" : wrong.length ? "warning" : "well";
  if (key !== said) {
    said = key;
    const rest = wrong.length - 1;
    say(by("verdict-words"), wrong.length === 0 ? "✓ All is well" : `${MARKS[level]} ${headline(wrong[0])}${rest ? `, and ${rest} more` : ""}`);
    document.title = `${wrong.length ? `${MARKS[level]} ${wrong.length} wrong` : "✓"} · ${status.site}/${status.host} · Lapwing`;
  }
  dress(by("verdict"), level);
  const list = by("troubles");
  const lines = gathered(status.troubles);
  const shown = lines.slice(0, SHOWN_TROUBLES);
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach(({ severity, sentence }, index) => {
    const item = list.children[index] ?? list.appendChild(make("li"));
    say(item, `${MARKS[severity]} ${severity === "advice" ? "Advice: " : ""}${sentence}`);
    dress(item, ink(severity));
  });
  const left = lines.length - shown.length;
  by("more-troubles").hidden = left <= 0;
  say(by("more-troubles"), `… and ${left} more: the tables below show them.`);
}

// ---- Decisions ---------------------------------------------------------------------

let listed = "";

function showDecisions(decisions) {
  const list = by("decisions");
  const key = decisions.map(({ seq }) => seq).join();
  by("no-decisions").hidden = decisions.length > 0;
  if (key !== listed) {
    listed = key;
    list.replaceChildren(...decisions.map(decisionItem));
  }
  for (const item of list.children) {
    const [, , ago] = item.firstChild.children;
    say(ago, `, ${span((Date.now() - Date.parse(item.dataset.time)) / 1000)} ago`);
  }
}

function decisionItem({ seq, time, event, prefix, level, guard, cause, class: fault, sentence }) {
  const held = event === "held";
  const edge = held ? "warning" : level === "full" ? "good" : level === "degraded" ? "warning" : "fault";
  const item = make("li", `${edge}-edge`);
  item.dataset.time = time;
  const first = make("p");
  const stamp = make("time", "soft", ` ${time.slice(0, 10)} ${time.slice(11, 19)} UTC`);
  stamp.dateTime = time;
  first.append(make("strong", "", held ? `${prefix} was not ${level}: held by guard ${words(guard ?? "?")}` : `${prefix} ${level}`), stamp, make("span", "soft"));
  const about = [cause && `cause ${words(cause)}`, fault && `class ${words(fault)}`, `lapwing explain ${seq}`].filter(Boolean).join(" · ");
  item.append(first, make("p", "", sentence), make("p", "soft", about));
  return item;
}

// ---- Daemon ------------------------------------------------------------------------

function showDaemon(status) {
  const { sensor, bird, configuration: { read_seconds_ago: read, refused } } = status;
  const hooks = sensor.attachments.map(({ interface: name, hook, mode }) => `${name} ${hook} (${mode})`).join(", ");
  const sessions = bird.sessions.map(({ name, established, last_error: error }) => `${name} ${established ? "up" : `DOWN${error ? ` (${error})` : ""}`}`).join(", ");
  const lines = [
    ["Sensor", sensor.trouble === null ? `✓ ${hooks || "no hooks"}` : `✕ blind: ${sensor.trouble}`],
    ["BIRD", bird.trouble ? `✕ ${bird.trouble}` : bird.up ? `${bird.version ?? ""}, ${sessions ? `sessions ${sessions}` : "no BGP session"}` : "not asked, so exports are not verified"],
    ["Configuration", `read ${span(read)} ago` + (refused ? `; a newer one was refused ${span(refused.seconds_ago)} ago (${refused.by}): ${refused.why}` : "")],
    ["Journal", status.journal_trouble === null ? "✓ written" : `! records go to the log only: ${status.journal_trouble}`],
    ["Orders", status.frozen ? `! frozen by ${status.frozen.by}${status.frozen.why ? `: ${status.frozen.why}` : ""}` : "not frozen"],
  ];
  const list = by("daemon");
  lines.forEach(([name, text], index) => {
    const title = list.children[index * 2] ?? list.appendChild(make("dt"));
    const value = list.children[index * 2 + 1] ?? list.appendChild(make("dd"));
    say(title, name);
    say(value, text);
  });
}

// ---- All of it ---------------------------------------------------------------------

function show(status) {
  const worst = new Map();
  for (const { subject, name, severity } of status.troubles) {
    if (subject === "service" && RANKS[severity] < (RANKS[worst.get(name)] ?? 9)) worst.set(name, severity);
  }
  newest = { services: status.services, worst };
  say(by("who"), `${status.site} / ${status.host}`);
  say(by("about"), `version ${status.version}, mode ${status.mode}${status.mode === "observe" ? " (changes no route)" : ""}, up ${span(status.uptime_seconds)}`);
  showVerdict(status);
  by("prefixes").hidden = status.prefixes.length === 0;
  by("no-prefixes").hidden = status.prefixes.length !== 0;
  prefixes.show(status.prefixes.map((prefix) => [prefix.prefix, prefix]));
  showServices();
  showDaemon(status);
}

let answered = null;
let failures = 0;
let timer = 0;
let asking = false;

function showSilence(why) {
  const since = answered ? `No answer since ${clock(answered)}` : "No answer yet";
  document.body.classList.add("stale");
  dress(by("verdict"), "unknown");
  said = "";
  say(by("verdict-words"), since);
  document.title = "? no answer · Lapwing";
  by("stale").hidden = false;
  say(by("stale"), `${why} ${answered ? "What is shown below is old." : ""}`);
}

async function ask(path, signal) {
  const response = await fetch(path, { signal, cache: "no-store" });
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error ?? `The daemon answers with status ${response.status}.`);
}

async function poll() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const abort = new AbortController();
  const patience = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const [status, { decisions }] = await Promise.all([
      ask("/api/v1/status", abort.signal),
      ask(`/api/v1/decisions?limit=${SHOWN_DECISIONS}`, abort.signal),
    ]);
    answered = new Date();
    failures = 0;
    document.body.classList.remove("stale");
    by("stale").hidden = true;
    show(status);
    showDecisions(decisions);
  } catch (error) {
    failures += 1;
    const why = error.name === "AbortError" ? `It did not answer within ${TIMEOUT_MS / 1000} s.` : error instanceof TypeError ? "It cannot be reached: does lapwing run, and does the tunnel to it stand?" : error.message;
    showSilence(why);
  } finally {
    clearTimeout(patience);
    asking = false;
    const pause = document.hidden ? HIDDEN_POLL_MS : Math.min(POLL_MS * 2 ** Math.max(0, failures - 1), LONGEST_PAUSE_MS);
    timer = setTimeout(poll, pause);
  }
}

by("filters").addEventListener("submit", (event) => event.preventDefault());
by("filter").addEventListener("input", showServices);
by("attention").addEventListener("change", showServices);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) poll();
});
poll();

// The cache dashboard, live: asks for the same sections that the server rendered, and draws the charts above their tables.
"use strict";

(() => {
  const root = document.querySelector("[data-cache]");
  const say = document.querySelector("[data-labels]").dataset;
  const status = root.querySelector("[data-status]");
  const pauseButton = root.querySelector("[data-pause]");
  const every = Number(root.dataset.every);
  const timeZone = root.dataset.timeZone;

  // How each chart is drawn

  const SOLID = [], DASHED = [7, 4], DOTTED = [2, 3];
  const DASHES = [SOLID, DASHED, DOTTED, [9, 3, 2, 3], [14, 4], [4, 2]];
  const OUTCOMES = ["hit", "stale", "miss", "bypass"];

  const percent = (share) => `${(100 * share).toLocaleString(undefined, { maximumFractionDigits: 1 })} %`;
  const rate = (n) => n.toLocaleString(undefined, { maximumSignificantDigits: 3 });
  const duration = (seconds) => {
    const [size, unit] = seconds >= 1 ? [1, "s"] : seconds >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"];
    return `${(seconds * size).toLocaleString(undefined, { maximumSignificantDigits: 3 })} ${unit}`;
  };

  const SHARE = { range: (_plot, low) => [Math.max(0, Math.floor((low ?? 0) * 20 - 0.001) / 20), 1] };
  const CHARTS = {
    hit_rate: {
      format: percent,
      spanGaps: true,
      lines: () => [{ label: say.all, colour: "hit", dash: SOLID, width: 2 }],
      scale: SHARE,
    },
    by_policy: {
      format: percent,
      spanGaps: true,
      lines: ({ policies }) => policies.map((label, i) => ({ label, colour: `${i + 1}`, dash: DASHES[i], width: 1.5 })),
      scale: SHARE,
    },
    outcomes: {
      format: rate,
      stacked: true,
      lines: () => OUTCOMES.map((name) => ({ label: say[name], colour: name, dash: SOLID, width: 1, fill: true })),
      scale: { range: (_plot, _low, high) => [0, (high || 1) * 1.05] },
    },
    latency: {
      format: duration,
      spanGaps: true,
      lines: () => ["hit", "miss"].flatMap((name) =>
        ["p50", "p95", "p99"].map((share, i) =>
          ({ label: `${say[name]} ${share}`, colour: name, dash: DASHES[i], width: i ? 1.5 : 2 }))),
      scale: { distr: 3, range: (_plot, low, high) => uPlot.rangeLog(low || 1e-4, high || 1, 10, true) },
    },
  };

  const day = new Intl.DateTimeFormat(undefined, { timeZone, month: "short", day: "numeric" });
  const hour = new Intl.DateTimeFormat(undefined, { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const times = (_plot, marks, _axis, _space, apart) =>
    marks.map((mark) => (apart >= 86400 ? day : hour).format(new Date(mark * 1e3)));

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--cache-${name}`).trim();
  const add = (above, below) => above === null && below === null ? null : (above ?? 0) + (below ?? 0);

  // A stacked line is drawn at its sum with all that follow it, the tallest first, so that each covers what is below.
  const stack = (columns) => columns.map((_, i) =>
    columns.slice(i).reduce((sums, column) => sums.map((sum, k) => add(sum, column[k]))));

  class Chart {
    constructor(name, box) {
      this.spec = CHARTS[name];
      this.name = name;
      this.box = box;
      this.empty = box.parentElement.querySelector("[data-empty]");
      this.legend = box.parentElement.querySelector("[data-legend]");
      this.off = new Set();
    }

    show(charts) {
      this.charts = charts;
      const columns = charts[this.name];
      const isEmpty = columns.every((column) => column.every((value) => !value));
      this.box.hidden = this.legend.hidden = isEmpty;
      this.empty.hidden = !isEmpty;
      if (isEmpty) return;
      const kept = columns.filter((_, i) => !this.off.has(i));
      const lines = this.spec.lines(charts);
      this.drawn = this.spec.stacked ? stack(kept) : kept;
      this.values = columns;
      const names = lines.map((line) => line.label).join();
      if (!this.plot || this.names !== names) this.build(lines, names);
      else this.plot.setData([charts.starts, ...this.drawn]);
      this.tell(this.plot.cursor.idx ?? null);
    }

    build(lines, names) {
      this.plot?.destroy();
      this.names = names;
      const shown = lines.filter((_, i) => !this.off.has(i));
      const axis = { stroke: colour("all"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
      this.plot = new uPlot({
        width: this.box.clientWidth, height: this.box.clientHeight,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: !this.spec.stacked } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), timeZone),
        scales: { y: this.spec.scale },
        axes: [
          { ...axis, size: 32, values: times },
          { ...axis, size: 64, values: (_plot, marks) => marks.map((mark) => mark === null ? "" : this.spec.format(mark)) },
        ],
        series: [{}, ...shown.map((line) => ({
          stroke: colour(line.colour), width: line.width, dash: line.dash, spanGaps: this.spec.spanGaps,
          points: { show: this.charts.starts.length <= 30, size: 5 },
          ...(line.fill && { fill: colour(line.colour), paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }),
        }))],
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)] },
      }, [this.charts.starts, ...this.drawn], this.box);
      this.list(lines);
    }

    list(lines) {
      this.legend.replaceChildren(...lines.map((line, i) => {
        const button = document.createElement("button");
        const swatch = document.createElement("i");
        swatch.style.borderTopColor = colour(line.colour);
        swatch.style.borderTopStyle = line.dash === SOLID ? "solid" : line.dash === DOTTED ? "dotted" : "dashed";
        button.type = "button";
        button.setAttribute("aria-pressed", String(!this.off.has(i)));
        button.append(swatch, line.label, document.createElement("span"));
        button.addEventListener("click", () => this.toggle(i));
        const item = document.createElement("li");
        item.append(button);
        return item;
      }));
    }

    toggle(i) {
      this.off.has(i) ? this.off.delete(i) : this.off.add(i);
      if (this.off.size === this.values.length) this.off.clear();
      this.redraw();
      this.legend.querySelectorAll("button")[i].focus();
    }

    redraw() {
      this.names = null;
      if (this.charts) this.show(this.charts);
    }

    // Write the values under the cursor into the legend.
    tell(at) {
      this.legend.querySelectorAll("span").forEach((span, i) => {
        const value = at === null ? null : this.values[i]?.[at];
        span.textContent = value === null || value === undefined ? "" : this.spec.format(value);
      });
    }
  }

  const charts = [...root.querySelectorAll("[data-chart]")].map((box) => new Chart(box.dataset.chart, box));
  const redraw = () => charts.forEach((chart) => chart.redraw());
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => charts.forEach((chart) =>
    chart.plot?.setSize({ width: chart.box.clientWidth, height: chart.box.clientHeight }))).observe(root);

  // Live

  let isPaused = false, timer = 0, answeredAt = new Date();
  const clock = (date) => date.toLocaleTimeString(undefined, { timeZone });

  const tell = (state, text) => {
    if (status.dataset.status !== state) status.textContent = text;
    status.dataset.status = state;
  };

  const replace = (sections) => {
    for (const [name, html] of Object.entries(sections)) {
      const section = root.querySelector(`[data-section="${name}"]`);
      if (section.contains(document.activeElement) || section.shown === html) continue;
      section.innerHTML = html;
      section.shown = html;
    }
  };

  const ask = async () => {
    clearTimeout(timer);
    try {
      const tables = root.querySelector("details[open]") ? "&tables" : "";
      const response = await fetch(root.dataset.url + tables, { signal: AbortSignal.timeout(8000) });
      if (response.redirected || response.status === 403) return tell("silent", say.loggedOut);
      if (!response.ok) throw new Error(String(response.status));
      const answer = await response.json();
      answeredAt = new Date();
      replace(answer.sections);
      charts.forEach((chart) => chart.show(answer.charts));
      if (!isPaused) tell("live", say.live);
    } catch {
      tell("silent", `${say.silent} ${clock(answeredAt)}`);
    }
    if (!isPaused && !document.hidden) timer = setTimeout(ask, every);
  };

  pauseButton.addEventListener("click", () => {
    isPaused = !isPaused;
    pauseButton.textContent = isPaused ? say.resume : say.pause;
    clearTimeout(timer);
    isPaused ? tell("paused", `${say.paused} ${clock(answeredAt)}`) : ask();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !isPaused) ask(); });
  root.querySelectorAll("details").forEach((details) =>
    details.addEventListener("toggle", () => { if (details.open && !isPaused) ask(); }));
  pauseButton.hidden = false;
  ask();
})();

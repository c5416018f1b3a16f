// Fills the Bokeh figures of one `.interactive` element from its data, anew at every change of a control.
(async (root) => {
  "use strict";
  const FEW_GROUPS = 6, MOST_SWITCHES = 40, LEVELS = 64;  // groups with bands and marks; cells with a switch of their own; colours of a map
  const find = (selector) => root.querySelector(selector);

  async function unpacked(selector) {
    const bytes = Uint8Array.from(atob(find(selector).textContent.trim()), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  function element(name, text, settings = {}) {
    const made = Object.assign(document.createElement(name), settings);
    made.textContent = text;
    return made;
  }

  performance.mark("figures begin");  // the marks are read by measurements of opening time
  if (!window.Bokeh) {
    const code = await unpacked(".interactive-library");
    if (!window.Bokeh) document.head.append(element("script", code));
  }
  performance.mark("figures library");
  const data = JSON.parse(await unpacked(".interactive-data"));
  performance.mark("figures data");
  const state = { hidden_worlds: new Set(), hidden_cells: new Set(), chosen: data.settings.map(() => "") };
  const models = {};
  root.hidden = false;
  find(".interactive-effect").hidden = !data.figures.effect;
  for (const [name, item] of Object.entries(data.figures)) {
    const views = await Bokeh.embed.embed_item(item, find(`[data-figure=${name}]`));
    const model_document = [...views][0].model.document;
    models[name] = (id) => model_document.get_model_by_name(id ? `${name} ${id}` : name);
  }

  // ---- controls: plain HTML
  const controls = find(".interactive-controls");
  const layer_choice = find("select[name=layer]");
  const heat_map = data.settings.length > 1;
  const layers = heat_map ? data.effects.map((layer) => [layer]) : Object.values(grouped(data.effects, (layer) => layer.quantity));
  for (const [place, several] of layers.entries()) {
    const world = heat_map ? `, ${several[0].world} world` : "";
    layer_choice.append(element("option", several[0].quantity + world, { value: place }));
  }
  const known = (several) => several[0].cells.filter((cell) => cell && cell[0] !== null).map((cell) => cell[0]);
  const differs = (several) => new Set(known(several)).size > 1;  // at first a map of several colours and few grey squares
  const rank = (several) => known(several).length + (differs(several) ? data.cells.length : 0);
  layer_choice.value = Math.max(layers.findIndex((several) => rank(several) === Math.max(...layers.map(rank))), 0);
  for (const [name, words] of Object.entries(data.measures)) {
    controls.elements.measure.append(element("option", words, { value: name }));
  }
  controls.elements.time.querySelector("[value=seconds]").disabled = !data.runs.pace.some((pace) => pace !== null);
  controls.elements.view.querySelector("[value=bootstrap_error]").disabled = !data.runs.ideal.some((one) => one !== null);
  controls.elements.view.value = data.view;
  const setting_choices = data.settings.map((name, place) => {
    const label = element("label", `${name} `), choice = element("select", "", { name: `setting ${place}` });
    const values = [...new Set(data.cells.map((cell) => cell.values[place]))];
    const numeric = (text) => Number(text.replaceAll(",", ""));
    values.sort((one, other) => numeric(one) - numeric(other) || (one < other ? -1 : 1));
    choice.append(element("option", "all", { value: "" }), ...values.map((value) => element("option", value, { value })));
    choice.addEventListener("change", () => { state.chosen[place] = choice.value; draw(); });
    label.append(choice);
    find(".interactive-settings").append(label);
    return choice;
  });
  controls.addEventListener("change", draw);
  controls.addEventListener("submit", (event) => event.preventDefault());
  layer_choice.addEventListener("change", draw);

  function grouped(items, key) {
    const groups = {};
    for (const item of items) (groups[key(item)] ??= []).push(item);
    return groups;
  }

  function choose(values) {
    state.chosen = values;
    setting_choices.forEach((choice, place) => { choice.value = values[place]; });
    draw();
  }

  // ---- colours: hue and dash of a world or of a difference, lightness of a cell, on the page's own background
  const hue = (style) => getComputedStyle(root).getPropertyValue(style.variable).trim() || style.color;
  const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const ink = () => getComputedStyle(root).color.match(/[\d.]+/g).slice(0, 3).map(Number);

  const paper = () => rgb(hue({ variable: "--paper", color: ink()[1] > 127 ? "#16181b" : "#ffffff" }));

  function shade(color, share) {  // towards ink below 0, towards the paper above it
    const towards = share < 0 ? ink() : paper();
    const mixed = rgb(color).map((part, place) => Math.round(part + (towards[place] - part) * Math.abs(share)));
    return `rgb(${mixed.join(",")})`;
  }

  function paint() {
    const color = `rgb(${ink().join(",")})`;
    for (const model of Object.values(models)) {
      const plot = model("");
      for (const axis of [...plot.left, ...plot.below, ...plot.above]) {
        const names = ["axis_label_text_color", "title_text_color", "major_label_text_color", "axis_line_color", "major_tick_line_color",
          "minor_tick_line_color"];
        for (const name of names) if (name in axis) axis[name] = color;
      }
      for (const grid of plot.center) if ("grid_line_color" in grid) Object.assign(grid, { grid_line_color: color, grid_line_alpha: 0.15 });
    }
  }

  // ---- curves: one run's times and values, then means of a group
  function times(run, unit) {
    const grid = data.grids[data.runs.grid[run]], pace = data.runs.pace[run];
    return unit === "seconds" ? grid.step.map((step) => pace === null ? NaN : step * pace) : unit === "step" ? grid.step : grid.samples;
  }

  const place_of = data.grids.map((grid) => new Map(grid.step.map((step, place) => [step, place])));

  function values(run, metric, view) {
    const own = data.metrics[metric][run];
    if (view === "worlds" || own === null) return own;
    const partner = data.runs.ideal[run], other = partner === null ? null : data.metrics[metric][partner];
    if (other === null) return null;
    const places = place_of[data.runs.grid[partner]];
    return data.grids[data.runs.grid[run]].step.map((step, place) => {
      const there = other[places.get(step)];
      return own[place] === null || there === null || there === undefined ? null : own[place] - there;
    });
  }

  function mean_curve(members, limits) {  // where every run of the group has a value
    const curve = { x: [], y: [], low: [], high: [] }, [first] = members, quantile = data.quantiles[members.length];
    for (const step of data.grids[data.runs.grid[first.run]].step) {
      const at = members.map((one) => place_of[data.runs.grid[one.run]].get(step));
      const points = members.map((one, place) => [one.x[at[place]], one.y[at[place]]]);
      if (!points.every(([x, y]) => Number.isFinite(x) && Number.isFinite(y))) continue;
      const n = points.length, [x, y] = [0, 1].map((side) => points.reduce((sum, point) => sum + point[side], 0) / n);
      const deviation = Math.sqrt(points.reduce((sum, point) => sum + (point[1] - y) ** 2, 0) / (n - 1));
      const half = quantile ? quantile * deviation / Math.sqrt(n) : NaN;
      curve.x.push(x);
      curve.y.push(y);
      curve.low.push(Math.max(y - half, limits[0] ?? -Infinity));
      curve.high.push(Math.min(y + half, limits[1] ?? Infinity));
    }
    return curve;
  }

  function marks_of(run, y) {  // where its curve has a mark, and which
    const places = place_of[data.runs.grid[run]], steps = data.grids[data.runs.grid[run]].step;
    const at = (step) => step === null ? -1 : places.get(step) ?? steps.findIndex((one) => one >= step);
    const broke = data.runs.status[run] === "diverged" ? y.findLastIndex(Number.isFinite) : -1;
    return [[at(data.runs.memorization[run]), "triangle"], [at(data.runs.grokking[run]), "circle"], [broke, "x"]].filter(([place]) => place >= 0);
  }

  // ---- drawing
  const matches = (cell) => state.chosen.every((value, place) => value === "" || cell.values[place] === value);

  function empty_columns(names) {
    return Object.fromEntries(names.map((name) => [name, []]));
  }

  function add(columns, row) {
    for (const [name, column] of Object.entries(columns)) column.push(row[name]);
  }

  function scaled(model, side, log, range, label, factors = false) {
    const plot = model("");
    if (!factors) {
      plot[`${side}_scale`] = new (Bokeh.Models.get(log ? "LogScale" : "LinearScale"))();
      const [start, end] = range, bounds = plot[`${side}_range`];
      bounds.setv({ start, end, reset_start: start, reset_end: end });
    }
    for (const kind of ["linear", "log"]) {
      const axis = model(`${side} ${kind}`), grid = model(`${side} ${kind} grid`);
      if (!axis) continue;
      axis.visible = grid.visible = (kind === "log") === log;
      if (label !== null) axis.axis_label = label;
    }
  }

  function round_down(value) {  // the next of 1, 2 and 5 times a power of ten
    const ten = 10 ** Math.floor(Math.log10(value) + 1e-9);
    return ten * [5, 2, 1].find((digit) => digit * ten <= value * (1 + 1e-9));
  }

  function range_of(numbers, log, tight = false, ticked = false) {  // ticked: from one labelled tick of a log axis to another
    let low = Infinity, high = -Infinity;
    for (const value of numbers) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) return log ? [0.1, 1] : [0, 1];
    if (log && ticked) return [round_down(low) / 1.06, 1.06 / round_down(1 / high)];
    if (log) return tight ? [low / 1.06, high * 1.06] : [low / 1.3, high * 1.3];
    const room = (high - low || Math.abs(high) || 1) * (tight ? 0.01 : 0.04);
    return [low - room, high + room];
  }

  function draw_curves() {
    const setting = (name) => controls.elements[name].value, flag = (name) => controls.elements[name].checked;
    const view = setting("view"), metric = `${setting("side")}_${setting("measure")}`, unit = setting("time");
    const log_x = flag("log_x"), log_y = flag("log_y") && view === "worlds", model = models.curves;
    controls.elements.log_y.disabled = view !== "worlds";
    const positive = (value, log) => value === null || value === undefined || (log && value <= 0) ? NaN : value;
    const columns = {
      band: empty_columns(["xs", "ys", "color", "alpha"]), marks: empty_columns(["xs", "ys", "color", "alpha", "marker"]),
      lines: empty_columns(["xs", "ys", "color", "alpha", "dash", "width", "what", "world", "cell"]),
    };
    const shown = data.cells.map((cell, place) => ({ ...cell, place })).filter((cell) => matches(cell) && !state.hidden_cells.has(cell.place));
    const [palest, darkest] = data.tones, means = [], drawn = new Set(), groups = new Map(), swatches = new Map();
    for (const [rank, cell] of shown.entries()) {
      const tone = shown.length > 1 ? palest + (darkest - palest) * rank / (shown.length - 1) : 0;
      for (const world of data.worlds) {
        if (state.hidden_worlds.has(world.name)) continue;
        const runs = cell.runs.filter((run) => data.runs.world[run] === world.name && values(run, metric, view));
        const key = runs.join();
        if (!runs.length || groups.has(key)) continue;  // an ideal run may be the partner of several cells
        const shared = shown.filter((other) => runs.every((run) => other.runs.includes(run)));
        const own_hue = hue(view === "worlds" ? world : data.difference);
        const style = { color: shade(own_hue, shared.length > 1 ? 0 : tone), dash: world.dash, world: world.name,
          cell: shared.length > 1 ? `shared by ${shared.length} cells` : cell.name };
        if (world.name !== "ideal") swatches.set(cell.place, shade(hue(data.neutral), tone));
        groups.set(key, { style, runs });
      }
    }
    const lines = [...groups.values()].reduce((sum, group) => sum + group.runs.length, 0);
    const alpha = Math.min(0.5, Math.max(0.12, 6 / Math.max(lines, 1))), xs = [], ys = [];
    for (const { style, runs } of groups.values()) {
      const members = runs.map((run) => ({ run, x: times(run, unit).map((x) => positive(x, log_x)), y: values(run, metric, view).map((y) => positive(y, log_y)) }));
      for (const { run, x, y } of members) {
        xs.push(...x.filter((_, place) => Number.isFinite(y[place])));
        ys.push(...y);
        if (drawn.has(run)) continue;
        drawn.add(run);
        const ended = data.runs.status[run] === "finished" ? "" : `, ${data.runs.status[run]}`;
        add(columns.lines, { ...style, xs: x, ys: y, alpha, width: 1, what: `seed ${data.runs.seed[run]}${ended}` });
        if (groups.size <= FEW_GROUPS) {
          for (const [place, marker] of marks_of(run, y)) add(columns.marks, { ...style, xs: x[place], ys: y[place], alpha: 0.8, marker });
        }
      }
      const limits = view === "worlds" ? data.limits[metric] : [null, null], curve = mean_curve(members, limits);
      if (!curve.x.length) continue;
      means.push({ ...style, xs: curve.x, ys: curve.y, alpha: 1, width: 2.5, what: `mean of ${runs.length}` });
      if (groups.size > FEW_GROUPS || !data.quantiles[runs.length]) continue;
      const low = curve.low.map((value) => log_y ? Math.max(value, 1e-12) : value);
      add(columns.band, { ...style, xs: [...curve.x, ...curve.x.toReversed()], ys: [...low, ...curve.high.toReversed()], alpha: 0.16 });
      ys.push(...low, ...curve.high);
    }
    const guessed = view === "worlds" && setting("measure") !== "loss";
    const levels = guessed ? [...new Set([...drawn].map((run) => data.runs.chance[run]).filter((level) => level !== null))] : [];
    model("chance").data = { y: levels };
    ys.push(...levels);
    for (const line of means) add(columns.lines, line);  // over the thin ones
    for (const [kind, filled] of Object.entries(columns)) model(kind).data = filled;
    const words = `${setting("side")} ${data.measures[setting("measure")]}`;
    const y_range = range_of(ys, log_y);
    if (view === "bootstrap_error") y_range[0] = Math.min(y_range[0], -0.02 * Math.abs(y_range[1]));
    scaled(model, "x", log_x, range_of(xs, log_x, true), data.times[unit]);
    scaled(model, "y", log_y, y_range, view === "worlds" ? words : `bootstrap error (${words}, minus ideal)`);
    legend(shown, swatches, levels);
    note(groups, drawn.size, shown.length, log_x, log_y, unit);
  }

  function note(groups, lines, cells, log_x, log_y, unit) {
    const enough = [...groups.values()].every((group) => data.quantiles[group.runs.length]);
    const band = groups.size > FEW_GROUPS ? ` More than ${FEW_GROUPS} means are shown, so bands and marks are left out.`
      : ` Band: 95 % t interval of the mean at each step${enough ? "" : ", from 3 seeds"}. Marks on runs: ▲ memorised, ● grokked, × diverged.`;
    find(".interactive-note[aria-live]").textContent = `${lines} curve${lines === 1 ? "" : "s"}: thin lines are single runs, thick ones means over `
      + `seeds, drawn where every seed has a value. Hue and dash are a world${cells > 1 ? "; lighter and darker tones are cells, in the order of their names" : ""}.${band}${log_x ? " A log axis cannot show step 0." : ""}`
      + `${log_y ? " Zeros are not drawn on a log axis." : ""}${unit === "seconds" ? " Means are taken at equal steps and drawn at the mean time." : ""}`
      + `${lines ? "" : " Nothing is shown: no run here has this measure, or all are hidden."}${data.note}`;
  }

  function draw_effect() {
    const several = layers[Number(layer_choice.value)], model = models.effect;
    if (heat_map) return draw_heat_map(several[0], model);
    const points = empty_columns(["x", "y", "low", "high", "color", "fill", "marker", "text", "cell", "world", "cells"]);
    const links = empty_columns(["xs", "ys", "color", "dash", "alpha"]), kind = model("").tags[0];
    const x_of = (text) => kind === "factors" ? text : Number(text.replaceAll(",", ""));
    for (const layer of several) {
      if (state.hidden_worlds.has(layer.world)) continue;
      const world = data.worlds.find((one) => one.name === layer.world), line = [], color = hue(layer.difference ? data.difference : world);
      for (const [place, outcome] of layer.cells.entries()) {
        if (!outcome || (outcome[0] ?? outcome[1]) === null) continue;
        const [value, low, high, text] = outcome, censored = value === null, y = censored ? low : value;
        const x = x_of(data.cells[place].values[0]);
        add(points, { x, y, low: low ?? y, high: high ?? y, color, text,
          marker: censored ? "triangle" : world.name === "ideal" ? "diamond" : "circle", fill: censored ? 0 : 1,
          cell: data.cells[place].name, world: world.name, cells: [place] });
        if (!censored) line.push([x, y]);
      }
      line.sort((one, other) => one[0] - other[0]);
      if (kind !== "factors") add(links, { xs: line.map(([x]) => x), ys: line.map(([, y]) => y), color, dash: world.dash, alpha: 0.7 });
    }
    model("links").data = links;
    model("cells").data = points;
    explain_effect(several, points);
    const log = several[0].log;
    scaled(model, "x", kind === "log", range_of(points.x, kind === "log"), null, kind === "factors");
    scaled(model, "y", log, range_of([...points.low, ...points.high], log, false, true), several[0].quantity);
  }

  function explain_effect(several, points) {  // names the marks that are drawn, and no others
    const signs = { circle: "●", diamond: "◆", triangle: "△" };
    const seen = grouped([...points.world.keys()], (place) => `${points.world[place]} ${points.marker[place]}`);
    find(".interactive-marks").replaceChildren(...Object.values(seen).map(([place]) => {
      const late = points.marker[place] === "triangle" ? ", median not reached by the last evaluation" : "";
      const made = element("span", `${several[0].difference ? "real minus ideal" : `${points.world[place]} world`}${late}`);
      made.prepend(element("span", `${signs[points.marker[place]]} `, { style: `color: ${points.color[place]}` }));
      return made;
    }));
    const bars = points.low.some((low, place) => low !== points.high[place]) ? "Bars are 95 % intervals. " : "";
    find("[data-note=effect]").textContent = `${bars}Click a mark to see its curves below, and again to see all.`;
  }

  function draw_heat_map(layer, model) {
    const squares = empty_columns(["x", "y", "value", "text", "cell", "world", "cells"]);
    const others = (cell) => state.chosen.every((value, place) => place < 2 || value === "" || cell.values[place] === value);
    const places = [...data.cells.keys()].filter((place) => layer.cells[place] && others(data.cells[place]));
    for (const cells of Object.values(grouped(places, (place) => JSON.stringify(data.cells[place].values.slice(0, 2))))) {
      const known = cells.map((place) => layer.cells[place][0]), whole = known.every((value) => value !== null);
      const value = whole ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
      const text = cells.length === 1 ? layer.cells[cells[0]][3] : whole ? `mean of ${cells.length} cells: ${value.toPrecision(3)}` : "a cell without a value";
      const [x, y] = data.cells[cells[0]].values;
      add(squares, { x, y, value, text, cells, world: layer.world, cell: cells.length === 1 ? data.cells[cells[0]].name : `${cells.length} cells` });
    }
    const own_hue = hue(layer.difference ? data.difference : data.worlds.find((one) => one.name === layer.world));
    const [first, last] = data.squares, finite = squares.value.filter(Number.isFinite), low = Math.min(...finite), high = Math.max(...finite);
    const palette = Array.from({ length: LEVELS }, (_, level) => shade(own_hue, first + (last - first) * level / (LEVELS - 1)));
    model("colors").setv({ palette, low, high: high > low ? high : low + 1 });
    model("bar").title = `${layer.quantity}, ${layer.world} world`;
    model("cells").data = squares;
    const grey = squares.value.some((value) => !Number.isFinite(value)) ? "Grey squares have no value. " : "";
    const [across, up] = [0, 1].map((side) => new Set(data.cells.map((cell) => cell.values[side])).size);
    const blank = squares.x.length < across * up ? "Where there is no square, this world has no run. " : "";
    find("[data-note=effect]").textContent = `${grey}${blank}Click a square to see its curves below, and again to see all.`;
  }

  function legend(shown, swatches, levels) {
    const box = find(".interactive-legend"), focused = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const swatch = (color, dash) => {
      const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const marks = { x1: 0, x2: 26, y1: 4, y2: 4, stroke: color, "stroke-width": 2.5, "stroke-dasharray": Array.isArray(dash) ? dash.join(" ") : "none" };
      for (const [name, value] of Object.entries(marks)) line.setAttribute(name, value);
      picture.append(line);
      return picture;
    };
    const toggle = (key, text, set, member, color, dash) => {
      const made = element("button", "", { type: "button" });
      made.dataset.key = key;
      made.setAttribute("aria-pressed", String(!set.has(member)));
      made.append(swatch(color, dash), text);
      made.addEventListener("click", () => { set.has(member) ? set.delete(member) : set.add(member); draw(); });
      return made;
    };
    const worlds = data.worlds.map((world) => toggle(`world ${world.name}`, `${world.name} world`, state.hidden_worlds, world.name, hue(world), world.dash));
    const cells = data.cells.map((cell, place) => ({ ...cell, place })).filter(matches);
    const switches = cells.length < 2 || cells.length > MOST_SWITCHES ? [] : cells.map((cell) =>
      toggle(`cell ${cell.place}`, cell.name, state.hidden_cells, cell.place, swatches.get(cell.place) ?? "currentColor", "solid"));
    const chance = levels.length ? [element("span", "chance", { className: "interactive-chance" })] : [];
    chance.forEach((one) => one.prepend(swatch("var(--soft, #6b6b6b)", [1, 4])));
    box.replaceChildren(...worlds, ...chance, ...switches);
    if (focused) [...box.children].find((one) => one.dataset.key === focused)?.focus();
  }

  function draw() {
    if (models.effect && layers.length) draw_effect();
    draw_curves();
    paint();
  }

  // ---- clicks on cells, the colours of the page, and pages without room or mouse
  const cells_model = models.effect?.("cells");
  cells_model?.selected.properties.indices.change.connect(() => {
    const [index] = cells_model.selected.indices;
    if (index === undefined) return;
    cells_model.selected.indices = [];
    const values_there = data.cells[cells_model.data.cells[index][0]].values;
    const picked = data.settings.map((_, place) => place < 2 ? values_there[place] : state.chosen[place]);
    choose(picked.every((value, place) => value === state.chosen[place]) ? data.settings.map(() => "") : picked);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (matchMedia("(pointer: coarse)").matches) for (const model of Object.values(models)) model("").toolbar.active_drag = null;
  draw();
  performance.mark("figures drawn");
  root.dataset.ready = "true";
  if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  for (const id of root.dataset.replaces.split(" ")) document.getElementById(id)?.classList.add("under-interactive");
})(document.currentScript.parentElement).catch((error) => {
  for (const root of document.querySelectorAll(".interactive:not([data-ready])")) root.hidden = true;
  console.error(error);
});

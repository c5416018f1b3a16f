// Fills the Bokeh figures of one `.interactive` element from its data, anew at every change of a control.
(async (root) => {
  "use strict";
  const FEW_GROUPS = 6, MOST_SWITCHES = 40, MOST_PLOTTED = 36, LEVELS = 64;
  // groups with bands and marks; cells with a switch of their own; cells that are a plot at first; colours of a map
  const MOST_WRITTEN = 12, DODGE = 0.018;  // columns of a map with values in it; between values of a second setting, of an axis
  const SINGLES = ["circle", "triangle", "x"];  // marks of single runs: reached, never, broken
  const find = (selector) => root.querySelector(selector);

  async function unpacked(packed) {
    const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  function element(name, text, settings = {}) {
    const made = Object.assign(document.createElement(name), settings);
    made.textContent = text;
    return made;
  }

  performance.mark("figures begin");  // the marks are read by measurements of opening time
  const library = async () => window.Bokeh || document.head.append(element("script", await unpacked(document.querySelector(".interactive-library"))));
  await (window.interactiveLibrary ??= library());  // once for all figures of a page
  performance.mark("figures library");
  const data = JSON.parse(await unpacked(find(".interactive-data")));
  performance.mark("figures data");
  const state = { hidden_worlds: new Set(), hidden_cells: new Set(), chosen: data.settings.map(() => "") };
  const models = {};
  root.hidden = false;
  find(".interactive-effect").hidden = !data.figures.effect;
  const [across, tone, third, ...further] = data.roles;  // places of the settings: across, by tone, by panel, in menus only
  const axes = [across, tone].sort((one, other) => one - other);  // of a map
  const menus = data.panels.length || third === undefined ? further : [third, ...further];  // settings without a place of their own
  const panels = data.panels.length ? data.panels : [""], names_of = (form) => panels.map((_, place) => place ? `${form}-${place}` : form);
  for (const form of ["effect", "map"]) {
    const box = find(`[data-form=${form}]`), drawn = names_of(form).filter((name) => data.figures[name]);
    box.hidden = !drawn.length;  // until they have their size
    box.append(...drawn.map((name, place) => {
      const panel = element("div", "", { className: "interactive-panel" }), plot = element("div", "", { className: "interactive-plot" });
      plot.dataset.figure = name;
      if (form === "effect") for (const [key, value] of Object.entries({ tabindex: 0, role: "group",
        "aria-label": `Outcomes${panels[place] && ` where ${data.settings[third]} is ${panels[place]}`}: + and − zoom, arrows move, 0 shows all` })) plot.setAttribute(key, value);
      panel.append(...(data.panels.length ? [element("b", `${data.settings[third]} ${panels[place]}`)] : []), plot);
      return panel;
    }));
  }
  for (const [name, item] of Object.entries(data.figures)) {
    const views = await Bokeh.embed.embed_item(item, find(`[data-figure=${name}]`));
    const model_document = [...views][0].model.document;
    models[name] = (id) => model_document.get_model_by_name(id ? `${name} ${id}` : name);
  }

  // ---- controls: plain HTML
  const controls = find("form.interactive-controls");
  const [layer_choice, form_choice, world_choice] = ["layer", "form", "map_world"].map((name) => find(`select[name=${name}]`));
  const layers = Object.values(grouped(data.effects, (layer) => layer.quantity));  // of one quantity in all worlds
  const numbered = (figure) => data.numbers[figure] ? `Figure ${data.numbers[figure]}: ` : "";
  for (const [place, [layer]] of layers.entries()) {
    layer_choice.append(element("option", numbered(layer.figure) + layer.quantity, { value: place }));
  }
  for (const { name } of data.worlds) world_choice.append(element("option", `${name} world`, { value: name }));
  const known = (several) => several[0].cells.filter((cell) => cell && cell[0] !== null).length;
  layer_choice.value = Math.max(layers.findIndex((several) => known(several) || several[0].runs.some((runs) => runs.length)), 0);
  form_choice.value = data.figures.map && data.cells.length > MOST_PLOTTED ? "map" : "effect";
  form_choice.parentElement.hidden = !data.figures.map;
  for (const [name, words] of Object.entries(data.measures)) {
    controls.elements.measure.append(element("option", words, { value: name }));
  }
  controls.elements.time.querySelector("[value=seconds]").disabled = !data.runs.pace.some((pace) => pace !== null);
  controls.elements.view.querySelector("[value=bootstrap_error]").disabled = !data.runs.ideal.some((one) => one !== null);
  controls.elements.view.value = data.view;
  const setting_choices = data.settings.map((name, place) => {
    const label = element("label", `${name} `), choice = element("select", "", { name: `setting ${place}` });
    const values = in_order(data.cells.map((cell) => cell.values[place]));
    choice.append(element("option", "all", { value: "" }), ...values.map((value) => element("option", value, { value })));
    choice.addEventListener("change", () => { state.chosen[place] = choice.value; draw(); });
    label.append(choice);
    find(".interactive-settings").append(label);
    return choice;
  });
  controls.addEventListener("change", draw);
  controls.addEventListener("submit", (event) => event.preventDefault());
  for (const choice of [layer_choice, form_choice, world_choice]) choice.addEventListener("change", draw);

  function grouped(items, key) {
    const groups = {};
    for (const item of items) (groups[key(item)] ??= []).push(item);
    return groups;
  }

  function in_order(texts) {
    const numeric = (text) => Number(text.replaceAll(",", ""));
    return [...new Set(texts)].sort((one, other) => numeric(one) - numeric(other) || (one < other ? -1 : 1));
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

  function tone_of(rank, count) {  // of one of several cells or values
    const [palest, darkest] = data.tones;
    return count > 1 ? palest + (darkest - palest) * rank / (count - 1) : 0;
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
    const means = [], drawn = new Set(), groups = new Map(), swatches = new Map();
    for (const [rank, cell] of shown.entries()) {
      const tone = tone_of(rank, shown.length);
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
    legend(shown, swatches, levels, { run: drawn.size, mean: means.length, band: columns.band.xs.length, marks: new Set(columns.marks.marker) });
    note(groups, drawn.size, shown.length, log_x, log_y, unit);
  }

  function note(groups, lines, cells, log_x, log_y, unit) {
    const enough = [...groups.values()].every((group) => data.quantiles[group.runs.length]);
    const setting = (name) => controls.elements[name].value;
    const figure = setting("view") === "bootstrap_error" ? "bootstrap_error" : `${setting("side")}_${setting("measure")}`;
    const band = groups.size > FEW_GROUPS ? ` Bands and marks of more than ${FEW_GROUPS} means would cover each other and are left out: pick a cell`
        + " above, or a value of a setting, and those of its curves are drawn."
      : ` Band: 95 % t interval of the mean at each step${enough ? "" : ", from 3 seeds"}.`;
    const words = `${lines} curve${lines === 1 ? "" : "s"}: thin lines are single runs, thick ones means over `
      + `seeds, drawn where every seed has a value. Hue and dash are a world${cells > 1 ? "; lighter and darker tones are cells, in the order of their names" : ""}.${band}${log_x ? " A log axis cannot show step 0." : ""}`
      + `${log_y ? " Zeros are not drawn on a log axis." : ""}${unit === "seconds" ? " Means are taken at equal steps and drawn at the mean time." : ""}`
      + `${lines ? "" : " Nothing is shown: no run here has this measure, or all are hidden."}${data.note}`;
    under_number(find(".interactive-note[aria-live]"), figure, words);
  }

  function under_number(box, figure, words) {  // a caption with the number of the static figure of the same, and its files
    const number = numbered(figure).replace(": ", ".");
    const file = (name, selector) => {
      const made = element("button", name, { type: "button" });
      made.addEventListener("click", () => document.querySelector(`#figure-${root.dataset.prefix}${figure} ${selector}`).click());
      return made;
    };
    box.replaceChildren(...(number ? [element("b", number), " "] : []), words, ...(number ? [" ", file("SVG", "[data-svg]"), " ", file("CSV", ".csv")] : []));
  }

  function save_curves(figure) {  // the values of all curves that a static figure and its further pages draw
    const view = figure === "bootstrap_error" ? figure : "worlds", metric = view === "worlds" ? figure : data.gap_metric;
    const rows = [["cell", "world", "seed", "step", view === "worlds" ? figure : `${figure} (${metric})`]];
    for (const cell of data.cells) {
      for (const run of cell.runs) {
        const steps = data.grids[data.runs.grid[run]].step;
        (values(run, metric, view) ?? []).forEach((value, place) => {
          if (value !== null) rows.push([cell.name, data.runs.world[run], data.runs.seed[run], steps[place], Number(value.toPrecision(4))]);
        });
      }
    }
    const quoted = (one) => /[",\n]/.test(one) ? `"${String(one).replaceAll('"', '""')}"` : one;
    const text = rows.map((row) => row.map(quoted).join(",")).join("\r\n");
    element("a", "", { download: `${figure}.csv`, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) }).click();
  }

  function draw_effect() {
    const several = layers[Number(layer_choice.value)], map = form_choice.value === "map";
    find("[data-form=effect]").hidden = map;
    find("[data-form=map]").hidden = !map;
    world_choice.parentElement.hidden = !map || several.length < 2;
    if (map) draw_heat_maps(several.find((layer) => layer.world === world_choice.value) ?? several[0]);
    else draw_effect_plots(several);
  }

  function cells_of(panel) {  // those of the settings that the menus have chosen
    const among = (place, value) => value === "" || data.cells[place].values[third] === value;
    return [...data.cells.keys()].filter((place) => among(place, panel)
      && menus.every((setting) => state.chosen[setting] === "" || data.cells[place].values[setting] === state.chosen[setting]));
  }

  function draw_effect_plots(several) {
    const kind = models.effect("").tags[0], number = (text) => Number(text.replaceAll(",", ""));
    const toned = tone === undefined ? [""] : in_order(data.cells.map((cell) => cell.values[tone]));
    const numbers = data.cells.map((cell) => number(cell.values[across])), [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    const x_of = (text, rank) => {  // values of the second setting beside each other
      const shift = (rank - (toned.length - 1) / 2) * DODGE;
      if (kind === "factors") return shift ? [text, 4 * shift] : text;
      return kind === "log" ? number(text) * (most / least) ** shift : number(text) + shift * (most - least || 1);
    };
    const places = panels.map(cells_of), drawn = places.map((cells) => effect_marks(several, cells, toned, x_of, kind !== "factors"));
    const all = (part, ...columns) => drawn.flatMap((one) => columns.flatMap((column) => one[part][column]));
    const log = several[0].log, wide = range_of([...numbers, ...all("points", "x"), ...all("singles", "x")], kind === "log");
    const high = range_of([...all("points", "low", "high"), ...all("singles", "y")], log, false, true);
    for (const [place, name] of names_of("effect").entries()) {
      const model = models[name];
      for (const [id, columns] of [["links", drawn[place].links], ["runs", drawn[place].singles], ["cells", drawn[place].points]]) model(id).data = columns;
      model("zero").data = { y: several[0].difference ? [0] : [] };
      scaled(model, "x", kind === "log", wide, null, kind === "factors");
      scaled(model, "y", log, high, several[0].quantity.replace(" (", "\n("));
    }
    const points = Object.fromEntries(Object.keys(drawn[0].points).map((column) => [column, all("points", column)]));
    const seen = new Set(points.cells.map(([place]) => toned.length > 1 && data.cells[place].values[tone]));
    const tones = toned.map((value, rank) => [value, rank]).filter(([value]) => toned.length > 1 && seen.has(value));
    explain_effect(several, points, new Set(all("singles", "marker")), [data.settings[tone] ?? "", tones], toned.length, places.flat().length);
  }

  function effect_marks(several, places, toned, x_of, linked) {  // of one panel
    const points = empty_columns(["x", "y", "low", "high", "color", "edge", "size", "fill", "marker", "text", "cell", "world", "cells"]);
    const singles = empty_columns(["x", "y", "color", "fill", "marker"]), links = empty_columns(["xs", "ys", "color", "dash", "alpha"]);
    for (const layer of several) {
      if (state.hidden_worlds.has(layer.world)) continue;
      const world = data.worlds.find((one) => one.name === layer.world), own_hue = hue(layer.difference ? data.difference : world);
      const lines = grouped(places.filter((place) => !state.hidden_cells.has(place)), (place) => JSON.stringify(data.roles.slice(1).map((setting) => data.cells[place].values[setting])));
      for (const line of Object.values(lines)) {
        const rank = tone === undefined ? 0 : toned.indexOf(data.cells[line[0]].values[tone]), joined = [];
        const color = shade(own_hue, tone_of(rank, toned.length)), around = `rgb(${paper().join(",")})`;
        for (const place of line) {
          const x = x_of(data.cells[place].values[across], rank);
          for (const [y, run] of layer.runs[place]) add(singles, { x, y, color, fill: run ? 0 : 0.5, marker: SINGLES[run] });
          const outcome = layer.cells[place];
          if (!outcome || (outcome[0] ?? outcome[1]) === null) continue;
          const [value, low, high, text] = outcome, censored = value === null, y = censored ? low : value;
          add(points, { x, y, low: low ?? y, high: high ?? y, color, text,
            marker: censored ? "triangle" : world.name === "ideal" ? "diamond" : "circle", fill: censored ? 0 : 1,
            edge: censored ? color : around, size: world.name === "ideal" && !censored ? 15 : 11,
            cell: data.cells[place].name, world: world.name, cells: [place] });
          if (!censored) joined.push([x, y]);
        }
        joined.sort((one, other) => one[0] - other[0]);
        if (linked) add(links, { xs: joined.map(([x]) => x), ys: joined.map(([, y]) => y), color, dash: world.dash, alpha: 0.7 });
      }
    }
    return { points, singles, links };
  }

  function explain_effect(several, points, markers, [setting, toned], tones, cells) {  // names the marks that are drawn, and no others
    const signs = { circle: "●", diamond: "◆", triangle: "△", x: "×" };
    const entry = (sign, color, words) => {
      const made = element("span", words);
      made.prepend(element("span", `${sign} `, { style: `color: ${color}` }));
      return made;
    };
    const seen = grouped([...points.world.keys()], (place) => `${points.world[place]} ${points.marker[place]}`);
    const entries = Object.values(seen).map(([place]) => {
      const late = points.marker[place] === "triangle" ? ", median not reached by the last evaluation" : "";
      const color = tones > 1 ? hue(several[0].difference ? data.difference : data.worlds.find((one) => one.name === points.world[place])) : points.color[place];
      return entry(signs[points.marker[place]], color, `${several[0].difference ? "real minus ideal" : `${points.world[place]} world`}${late}`);
    });
    entries.push(...toned.map(([value, rank]) => entry("■", shade(hue(data.neutral), tone_of(rank, tones)), `${setting.split(".").pop()} ${value}`)));
    const runs = { circle: several[0].difference ? "one pair" : "one run", triangle: "never grokked by its last step", x: "diverged or failed" };
    for (const marker of SINGLES) if (markers.has(marker)) entries.push(entry(marker === "circle" ? "·" : signs[marker], hue(data.neutral), runs[marker]));
    find(".interactive-marks").replaceChildren(...entries);
    const bars = points.low.some((low, place) => low !== points.high[place]) ? "Bars are 95 % intervals. " : "";
    const without = cells - new Set(points.cells.map(([place]) => place)).size;
    const blank = without && state.hidden_worlds.size + state.hidden_cells.size === 0 ? `${without} of ${cells} cells ${without === 1 ? "has" : "have"} no value here. ` : "";
    under_number(find("[data-note=effect]"), several[0].figure, `${bars}${blank}Click a mark to see its curves below, and again to see all.`);
  }

  function draw_heat_maps(layer) {
    const drawn = panels.map((panel) => squares_of(layer, cells_of(panel).filter((place) => layer.cells[place])));
    const finite = drawn.flatMap((squares) => squares.value).filter(Number.isFinite), low = Math.min(...finite), high = Math.max(...finite);
    const own_hue = hue(layer.difference ? data.difference : data.worlds.find((one) => one.name === layer.world)), [first, last] = data.squares;
    const palette = Array.from({ length: LEVELS }, (_, level) => shade(own_hue, first + (last - first) * level / (LEVELS - 1)));
    const top = high > low ? high : low + 1;
    const color_of = (value) => palette[Math.min(LEVELS - 1, Math.floor((value - low) / (top - low) * LEVELS))];
    const bright = (color) => color.match(/\d+/g).reduce((sum, part, place) => sum + part * [0.299, 0.587, 0.114][place], 0) > 140;
    for (const [place, name] of names_of("map").entries()) {
      const squares = drawn[place], model = models[name];
      squares.ink = squares.value.map((value) => Number.isFinite(value) && !bright(color_of(value)) ? "#fefefe" : "#111111");
      model("colors").setv({ palette, low, high: top });
      model("bar").title = place ? "" : `${layer.quantity}, ${layer.difference ? "real minus ideal" : `${layer.world} world`}`;
      model("cells").data = squares;
    }
    find(".interactive-marks").replaceChildren();
    const [wide, high_up] = axes.map((setting) => new Set(data.cells.map((cell) => cell.values[setting])).size);
    const grey = drawn.some((squares) => squares.value.some((value) => !Number.isFinite(value))) ? "Grey squares have no value. " : "";
    const blank = drawn.some((squares) => squares.x.length < wide * high_up) ? "Where there is no square, this world has no run. " : "";
    under_number(find("[data-note=effect]"), layer.figure, `${grey}${blank}Click a square to see its curves below, and again to see all.`);
  }

  function squares_of(layer, places) {  // of one panel
    const squares = empty_columns(["x", "y", "value", "text", "cell", "world", "cells", "label"]);
    const columns = new Set(data.cells.map((cell) => cell.values[axes[0]])).size;
    for (const cells of Object.values(grouped(places, (place) => JSON.stringify(axes.map((setting) => data.cells[place].values[setting]))))) {
      const known = cells.map((place) => layer.cells[place][0]), whole = known.every((value) => value !== null);
      const value = whole ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
      const text = cells.length === 1 ? layer.cells[cells[0]][3] : whole ? `mean of ${cells.length} cells: ${value.toPrecision(3)}` : "a cell without a value";
      const [x, y] = axes.map((setting) => data.cells[cells[0]].values[setting]);
      const label = columns * panels.length > MOST_WRITTEN || !whole ? "" : value.toLocaleString("en-US", { maximumSignificantDigits: 3 });
      add(squares, { x, y, value, text, cells, label, world: layer.world, cell: cells.length === 1 ? data.cells[cells[0]].name : `${cells.length} cells` });
    }
    return squares;
  }

  function legend(shown, swatches, levels, drawn) {
    const box = find(".interactive-legend"), focused = box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const swatch = (color, dash, width = 2.5, opacity = 1) => {
      const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const marks = { x1: 0, x2: 26, y1: 4, y2: 4, stroke: color, "stroke-width": width, "stroke-opacity": opacity,
        "stroke-dasharray": Array.isArray(dash) ? dash.join(" ") : "none" };
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
    const soft = "var(--soft, #6b6b6b)", explained = (words, ...sign) => {
      const made = element("span", words, { className: "interactive-mark" });
      made.prepend(...sign);
      return made;
    };
    const marks = Object.entries({ triangle: "▲ memorised", circle: "● grokked", x: "× diverged" }).filter(([marker]) => drawn.marks.has(marker));
    box.replaceChildren(...worlds,
      ...(drawn.run ? [explained("one run", swatch(soft, "solid", 1))] : []), ...(drawn.mean ? [explained("mean", swatch(soft, "solid"))] : []),
      ...(drawn.band ? [explained("95 % interval of the mean", swatch(soft, "solid", 8, 0.25))] : []),
      ...marks.map(([, words]) => explained(words)), ...(levels.length ? [explained("chance", swatch(soft, [1, 4]))] : []), ...switches);
    if (focused) [...box.children].find((one) => one.dataset.key === focused)?.focus();
  }

  function draw() {
    if (models.effect && layers.length) draw_effect();
    draw_curves();
    paint();
  }

  // ---- clicks on cells, the colours of the page, and pages without room or mouse
  for (const [form, name] of ["effect", "map"].flatMap((form) => names_of(form).map((name) => [form, name]))) {
    const cells = models[name]?.("cells");
    cells?.selected.properties.indices.change.connect(() => {
      const [index] = cells.selected.indices;
      if (index === undefined) return;
      cells.selected.indices = [];
      const values_there = data.cells[cells.data.cells[index][0]].values;
      const picked = data.settings.map((_, place) => form === "effect" || !menus.includes(place) ? values_there[place] : state.chosen[place]);
      choose(picked.every((value, place) => value === state.chosen[place]) ? data.settings.map(() => "") : picked);
    });
  }

  // ---- keys, on a plot that has the focus: the same as wheel, drag and reset; cells have menus and switches
  const moved = (range, log, change) => {
    const [start, end] = [range.start, range.end].map((one) => log ? Math.log(one) : one);
    const [from, to] = change(start, end).map((one) => log ? Math.exp(one) : one);
    range.setv({ start: from, end: to });
  };
  const zoomed = (factor) => (start, end) => [0, 1].map((side) => (start + end) / 2 + (side - 0.5) * (end - start) * factor);
  const shifted = (share) => (start, end) => [start + share * (end - start), end + share * (end - start)];
  const KEYS = { "+": ["xy", zoomed(0.8)], "-": ["xy", zoomed(1.25)], ArrowLeft: ["x", shifted(-0.1)], ArrowRight: ["x", shifted(0.1)],
    ArrowDown: ["y", shifted(-0.1)], ArrowUp: ["y", shifted(0.1)] };
  for (const name of ["curves", ...names_of("effect").filter((one) => models[one])]) {
    find(`[data-figure=${name}]`).addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS || event.key === "0")) return;
      event.preventDefault();
      const plot = models[name]("");
      if (event.key === "0") return draw();
      const [sides, change] = KEYS[event.key];
      for (const side of sides) if ("end" in plot[`${side}_range`] && !plot[`${side}_range`].factors) moved(plot[`${side}_range`], plot[`${side}_scale`].type === "LogScale", change);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  if (matchMedia("(pointer: coarse)").matches) for (const model of Object.values(models)) model("").toolbar.active_drag = null;
  draw();
  performance.mark("figures drawn");
  root.dataset.ready = "true";
  if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
  for (const figure of ["bootstrap_error", "test_error", "test_soft_error"]) {
    const button = document.querySelector(`[data-curves="${root.dataset.prefix}${figure}"]`);
    button?.addEventListener("click", () => save_curves(figure));
  }
  for (const id of root.dataset.replaces.split(" ").filter(Boolean)) cover(document.getElementById(id));

  function cover(figure) {  // and the pages with its further cells
    for (let one = figure; one && (one === figure || one.matches("details.page, details.drawn")); one = one.nextElementSibling) one.classList.add("under-interactive");
  }

  function uncover(hash) {  // what a link to a covered figure leads to: its interactive form
    const name = hash.startsWith(`#figure-${root.dataset.prefix}`) ? hash.slice(8 + root.dataset.prefix.length) : "";
    if (!document.getElementById(hash.slice(1))?.classList.contains("under-interactive")) return false;
    const place = layers.findIndex(([layer]) => layer.figure === name);
    if (place >= 0) layer_choice.value = place;
    else Object.assign(controls.elements.view, { value: "worlds" }), controls.elements.side.value = "test", controls.elements.measure.value = name.replace("test_", "");
    if (place >= 0 && data.figures.map) form_choice.value = name === "phase_map" ? "map" : "effect";
    draw();
    (place >= 0 ? find(".interactive-effect") : controls).scrollIntoView();
    return true;
  }

  document.addEventListener("click", (event) => {
    const hash = event.target.closest?.("a[href^='#figure-']")?.getAttribute("href");
    if (hash && uncover(hash)) event.preventDefault();
  });
  if (location.hash.startsWith("#figure-")) uncover(location.hash);
})(document.currentScript.parentElement).catch((error) => {
  for (const root of document.querySelectorAll(".interactive:not([data-ready])")) root.hidden = true;
  console.error(error);
});

// Draws every figure from the JSON beside it, in the page's colours, and again when theme, width or paper change.
"use strict";
(() => {
  const NARROW = 600; // pixels below which panels stand in one column
  const root = document.documentElement;
  const config = { displayModeBar: false };
  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  const assign = (layout, path, value) => {
    const keys = path.split(/[.[\]]+/).filter(Boolean);
    const parent = keys.slice(0, -1).reduce((node, key) => (node[key] ??= {}), layout);
    parent[keys.at(-1)] = value;
  };

  const dressed = (figure, narrow) => {
    const layout = structuredClone(figure.layout);
    const base = layout.template.layout;
    base.font.color = color("--muted");
    base.hoverlabel = { ...base.hoverlabel, bgcolor: color("--paper"), bordercolor: color("--line") };
    base.hoverlabel.font = { ...base.hoverlabel.font, color: color("--ink") };
    base.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom"; // on touch, dragging scrolls the page
    for (const note of layout.annotations || []) if (note.text.startsWith("<b>") && !note.font?.color) note.font = { ...note.font, color: color("--ink") };
    if (narrow) for (const [path, value] of Object.entries(layout.meta?.narrow || {})) assign(layout, path, value);
    return layout;
  };

  const plots = [...document.querySelectorAll("[data-figure]")].map((place) => {
    const choices = JSON.parse(document.getElementById(`data-${place.dataset.figure}`).textContent);
    return { place, choices, chosen: place.dataset.opened === "first" ? 0 : choices.length - 1, width: null };
  });

  // A line at the same training step in every panel that has an axis of steps, from public parts of the layout only.
  const pointAt = (step) => {
    document.querySelectorAll(".step-cursor").forEach((line) => line.remove());
    if (step === null) return;
    for (const { place } of plots.filter((plot) => plot.place.dataset.drawn)) {
      const { data, layout } = place;
      const margin = { ...layout.template.layout.margin, ...layout.margin };
      const [width, height] = [place.clientWidth - margin.l - margin.r, layout.height - margin.t - margin.b];
      for (const [name, axis] of Object.entries(layout).filter(([, value]) => value?.type === "log")) {
        const along = (Math.log10(step) - axis.range[0]) / (axis.range[1] - axis.range[0]);
        if (along < 0 || along > 1) continue;
        const beside = data.filter((trace) => (trace.xaxis ?? "x") === name.replace("axis", "")).map((trace) => trace.yaxis ?? "y");
        const edges = [...new Set(beside)].flatMap((id) => layout[id.replace("y", "yaxis")].domain ?? [0, 1]);
        const [left, right] = axis.domain ?? [0, 1];
        const [bottom, top] = [Math.min(...edges), Math.max(...edges)];
        const line = Object.assign(document.createElement("div"), { className: "step-cursor" });
        line.style.left = `${margin.l + width * (left + along * (right - left))}px`;
        line.style.top = `${margin.t + height * (1 - top)}px`;
        line.style.height = `${height * (top - bottom)}px`;
        place.append(line);
      }
    }
  };

  const draw = async (plot) => {
    plot.width = plot.place.clientWidth;
    const { figure } = plot.choices[plot.chosen];
    const layout = { ...dressed(figure, plot.width < NARROW), width: plot.width }; // so that it is redrawn at once for paper
    plot.place.style.minHeight = `${layout.height}px`;
    await Plotly.react(plot.place, structuredClone(figure.data), layout, config);
    if (!plot.place.dataset.drawn) {
      plot.place.on("plotly_hover", ({ points: [point] }) => pointAt(point.xaxis.type === "log" ? point.x : null));
      plot.place.on("plotly_unhover", () => pointAt(null));
    }
    plot.place.dataset.drawn = "true";
  };

  const fileName = ({ place, choices, chosen }) => {
    const label = choices.length > 1 ? `-${choices[chosen].label}` : "";
    return `${place.dataset.figure}${label}`.toLowerCase().replaceAll(/[^\p{L}\p{N}.-]+/gu, "-");
  };

  for (const plot of plots) {
    const buttons = plot.place.closest("figure").querySelector(".save");
    buttons.hidden = false;
    buttons.addEventListener("click", ({ target }) => {
      if (!target.dataset.save) return;
      const { figure } = plot.choices[plot.chosen];
      const layout = { ...dressed(figure, plot.width < NARROW), paper_bgcolor: color("--paper") };
      const size = { width: plot.width, height: layout.height };
      saving.save(target.dataset.save, fileName(plot), { data: structuredClone(figure.data), layout }, size);
    });
  }

  const drawAll = () => Promise.all(plots.map(draw));

  for (const plot of plots.filter((p) => p.choices.length > 1)) {
    const name = plot.place.dataset.figure;
    const set = document.createElement("fieldset");
    set.className = "choices";
    set.append(Object.assign(document.createElement("legend"), { textContent: plot.place.dataset.of }));
    plot.choices.forEach((choice, i) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name, checked: i === plot.chosen });
      input.addEventListener("change", () => { plot.chosen = i; draw(plot); });
      label.append(input, Object.assign(document.createElement("span"), { textContent: choice.label }));
      set.append(label);
    });
    plot.place.before(set);
  }

  window.addEventListener("themechange", drawAll);
  window.addEventListener("resize", () => {
    for (const plot of plots) if (plot.place.clientWidth !== plot.width) draw(plot);
  });
  let theme = null;
  window.addEventListener("beforeprint", () => { // paper is white and narrower than a screen
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    root.classList.add("printing");
    drawAll();
  });
  window.addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    root.classList.remove("printing");
    drawAll();
  });
  drawAll().then(() => { root.dataset.drawn = String(plots.length); });
})();

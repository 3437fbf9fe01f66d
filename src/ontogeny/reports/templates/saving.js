// Saves a figure as a picture, and its data as a table: a row a point, from the figure's traces.
"use strict";
const saving = (() => {
  const ARRAYS = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
    f4: Float32Array, f8: Float64Array,
  };
  const decoded = (bytes, dtype) => [...new ARRAYS[dtype](Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer)];

  // Values as plotly writes them: lists, single values, or packed numbers with a shape.
  const list = (values) => {
    if (!values?.bdata) return Array.isArray(values) ? values : [];
    const flat = decoded(values.bdata, values.dtype);
    const width = Number(String(values.shape ?? "").split(",")[1]);
    if (!width) return flat;
    return Array.from({ length: flat.length / width }, (_, row) => flat.slice(row * width, (row + 1) * width));
  };

  const words = (markup) => {
    const text = String(markup).replaceAll(/<br\s*\/?>/g, "; ").replaceAll(/<[^>]*>/g, "");
    return new DOMParser().parseFromString(text, "text/html").documentElement.textContent.trim();
  };

  const field = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = typeof value === "number" ? String(value) : words(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const axisOf = (layout, id, key) => layout[(id ?? key).replace(key, `${key}axis`)] ?? {};
  const titleOf = (axis) => words((axis.title?.text ?? "").split("<br>")[0].replace(/^<span.*/, "")); // no colour keys

  // What stands at a place of an axis whose ticks are words, such as the rows of a map, or step 0 left of step 1.
  const at = (axis, value) => {
    const tick = list(axis.tickvals).indexOf(value);
    const text = tick < 0 ? "" : words(axis.ticktext?.[tick] ?? "");
    if (axis.type === "log") return text === "0" ? 0 : value;
    return text && Number.isNaN(Number(text)) ? text : value;
  };

  // Bands are drawn as outlines: there along the upper edge, and back along the lower one.
  const edges = (data) => {
    const found = new Map();
    for (const trace of data.filter((each) => each.meta?.band !== undefined)) {
      const [x, y] = [list(trace.x), list(trace.y)];
      const half = x.length / 2;
      const key = `${trace.xaxis ?? "x"} ${trace.yaxis ?? "y"} ${trace.meta.band}`;
      found.set(key, new Map(x.slice(0, half).map((place, i) => [place, [y[2 * half - 1 - i], y[i]]])));
    }
    return found;
  };

  const points = (trace) => {
    const [x, y, z] = [list(trace.x), list(trace.y), list(trace.z)];
    if (!z.length) return x.map((place, i) => [i, place, y[i]]);
    return z.flatMap((row, j) => row.map((value, i) => [[j, i], x[i] ?? i, y[j] ?? j, value]));
  };

  // The rows of all traces but nameless lines of reference, as objects from the names of columns to values. What a trace tells the
  // pointer has the names `meta.told`: a value under the name of an axis takes the place of where it is drawn.
  const rows = ({ data, layout }) => {
    const bands = edges(data);
    const shown = data.filter((trace) => trace.meta?.band === undefined && (trace.name || trace.hoverinfo !== "skip"));
    const alike = (key, otherwise) => {
      const titles = new Set(shown.map((trace) => titleOf(axisOf(layout, trace[`${key}axis`], key))));
      return titles.size === 1 && !titles.has("") ? [...titles][0] : otherwise;
    };
    const [along, up] = [alike("x", "x"), alike("y", "y")];
    const panels = layout.meta?.panels ?? [];
    return shown.flatMap((trace) => {
      const [xAxis, yAxis] = [axisOf(layout, trace.xaxis, "x"), axisOf(layout, trace.yaxis, "y")];
      const panel = panels[Number((trace.yaxis ?? "y").slice(1) || 1) - 1] ?? titleOf(yAxis);
      const band = bands.get(`${trace.xaxis ?? "x"} ${trace.yaxis ?? "y"} ${trace.name}`);
      const bars = { [`${up} error`]: list(trace.error_y?.array), [`${along} error`]: list(trace.error_x?.array) };
      const told = list(trace.customdata);
      const names = [].concat(trace.meta?.told ?? "note");
      return points(trace).map(([i, x, y, z]) => {
        const row = { panel, series: trace.name ?? "", [along]: at(xAxis, x), [up]: at(yAxis, y) };
        if (z !== undefined) row.value = z;
        if (band?.has(x)) [row.low, row.high] = band.get(x);
        for (const [name, bar] of Object.entries(bars)) if (bar.length) row[name] = bar[i];
        const own = Array.isArray(i) ? told[i[0]]?.[i[1]] : told[i];
        [].concat(own ?? []).forEach((value, k) => { row[names[k] ?? `note ${k + 1}`] = value; });
        return row;
      });
    });
  };

  const csv = (figure) => {
    const table = rows(figure);
    const columns = [...new Set(table.flatMap((row) => Object.keys(row)))];
    const filled = columns.filter((column) => table.some((row) => field(row[column]) !== ""));
    const lines = [filled, ...table.map((row) => filled.map((column) => row[column]))];
    return lines.map((line) => line.map(field).join(",")).join("\n");
  };

  const hand = (name, blob) => {
    const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(blob) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // The kind of file that was asked for, named after the figure and the choice that is shown.
  const save = async (kind, name, figure, size) => {
    if (kind === "csv") return hand(`${name}.csv`, new Blob([csv(figure), "\n"], { type: "text/csv" }));
    const address = await Plotly.toImage(figure, { format: kind, scale: kind === "png" ? 2 : 1, ...size });
    const body = address.slice(address.indexOf(",") + 1);
    const svg = kind === "svg" ? decodeURIComponent(body) : null;
    const bytes = svg ?? Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
    return hand(`${name}.${kind}`, new Blob([bytes], { type: kind === "svg" ? "image/svg+xml" : "image/png" }));
  };
  return { save };
})();

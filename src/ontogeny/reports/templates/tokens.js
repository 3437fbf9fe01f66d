// Views of attention: tokens of a snippet, small patterns of every head, one large pattern.
"use strict";
for (const view of document.querySelectorAll("[data-tokens]")) {
  const { tokens, losses, components } = JSON.parse(document.getElementById(`data-${view.dataset.tokens}`).textContent);
  const count = tokens.length;
  const patterns = components.map((c) => Uint8Array.from(atob(c.weights), (byte) => byte.charCodeAt(0)));
  const state = { component: 0, query: count - 1, key: null };
  const [strip, readout, thumbnails] = [".tokens", ".readout", ".thumbnails"].map((s) => view.querySelector(s));
  const canvas = view.querySelector(".pattern canvas");
  const BLUE = "47,134,216";
  const weight = (query, key) => patterns[state.component][query * count + key] / 255;
  const visible = (token) => token.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "·");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const element = (tag, properties) => Object.assign(document.createElement(tag), properties);

  const largestLoss = Math.max(...losses.map((loss) => loss ?? 0), 1e-9);
  const spans = tokens.map((token, i) => {
    const span = element("span", {});
    visible(token).split(/(?<=⏎)/).forEach((part, line) => span.append(...(line ? [document.createElement("br")] : []), part));
    if (losses[i] !== null) {
      span.style.borderBottomColor = `rgba(220,120,30,${(losses[i] / largestLoss).toFixed(2)})`;
      span.title = `loss ${losses[i].toFixed(2)}`;
    }
    span.addEventListener("pointerenter", () => choose({ query: i, key: null }));
    span.addEventListener("click", () => choose({ query: i, key: null }));
    strip.append(span);
    if (visible(token).endsWith("⏎")) strip.append(document.createElement("br"));
    return span;
  });
  strip.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    choose({ query: Math.min(Math.max(state.query + move, 0), count - 1), key: null });
  });

  const buttons = components.map((component, i) => {
    const button = element("button", { type: "button" });
    const small = element("canvas", { width: count, height: count });
    const brush = small.getContext("2d");
    patterns[i].forEach((value, at) => {
      brush.fillStyle = `rgba(${BLUE},${value / 255})`;
      brush.fillRect(at % count, Math.floor(at / count), 1, 1);
    });
    button.append(small, component.name);
    button.addEventListener("click", () => choose({ component: i, key: null }));
    thumbnails.append(button);
    return button;
  });

  const geometry = () => {
    const width = canvas.parentElement.clientWidth;
    const gutter = (width - 78) / count >= 9 ? 78 : 0; // room for tokens beside rows and above columns
    return { gutter, cell: Math.min((width - gutter) / count, 24) };
  };

  const drawPattern = () => {
    const { gutter, cell } = geometry();
    const size = gutter + cell * count;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.height = Math.round(size * ratio);
    canvas.style.width = canvas.style.height = `${size}px`;
    const brush = canvas.getContext("2d");
    brush.scale(ratio, ratio);
    brush.fillStyle = color("--surface");
    brush.fillRect(gutter, gutter, cell * count, cell * count);
    for (let query = 0; query < count; query += 1) {
      for (let key = 0; key < count; key += 1) {
        brush.fillStyle = `rgba(${BLUE},${weight(query, key)})`;
        brush.fillRect(gutter + key * cell, gutter + query * cell, cell - 0.5, cell - 0.5);
      }
    }
    brush.strokeStyle = color("--ink");
    brush.lineWidth = 1.2;
    brush.strokeRect(gutter, gutter + state.query * cell, (state.query + 1) * cell, cell);
    if (state.key !== null) brush.strokeRect(gutter + state.key * cell, gutter + state.query * cell, cell, cell);
    if (!gutter) return;
    brush.font = `${Math.min(cell - 1, 12)}px ${color("--mono") || "monospace"}`;
    brush.textBaseline = "middle";
    tokens.forEach((token, i) => {
      const text = visible(token).slice(0, 10);
      const middle = gutter + (i + 0.5) * cell;
      brush.fillStyle = color(i === state.query ? "--ink" : "--muted");
      brush.textAlign = "right";
      brush.fillText(text, gutter - 6, middle, gutter - 8);
      brush.fillStyle = color(i === state.key ? "--ink" : "--muted");
      brush.save();
      brush.translate(middle, gutter - 6);
      brush.rotate(-Math.PI / 2);
      brush.textAlign = "left";
      brush.fillText(text, 0, 0, gutter - 8);
      brush.restore();
    });
  };

  const choose = (change) => {
    Object.assign(state, change);
    const { query, key } = state;
    spans.forEach((span, i) => {
      span.style.backgroundColor = i <= query ? `rgba(${BLUE},${(0.85 * weight(query, i)).toFixed(3)})` : "";
      span.classList.toggle("query", i === query);
      span.classList.toggle("later", i > query);
    });
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === state.component)));
    const order = key === null ? [...tokens.keys()].sort((a, b) => weight(query, b) - weight(query, a)).slice(0, 3) : [key];
    const shares = order.map((k) => [` ${Math.round(100 * weight(query, k))} % to `, element("code", { textContent: visible(tokens[k]) })]);
    const loss = losses[query] === null ? "" : ` Predicting it cost ${losses[query].toFixed(2)} nats.`;
    readout.replaceChildren(
      `${components[state.component].name}: `,
      element("code", { textContent: visible(tokens[query]) }),
      " attends",
      ...shares.flatMap((share, i) => (i ? [",", ...share] : share)),
      `.${loss}`,
    );
    drawPattern();
  };

  canvas.addEventListener("pointermove", (event) => {
    const { gutter, cell } = geometry();
    const [key, query] = [event.offsetX, event.offsetY].map((at) => Math.floor((at - gutter) / cell));
    if (query >= 0 && query < count && key >= 0 && key <= query) choose({ query, key });
  });
  canvas.addEventListener("pointerleave", () => choose({ key: null }));
  window.addEventListener("themechange", drawPattern);
  window.addEventListener("resize", drawPattern);
  choose({});
  view.dataset.drawn = "true";
}

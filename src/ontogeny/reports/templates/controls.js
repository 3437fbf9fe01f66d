// Runs before the page is drawn: the theme, and a record of anything that goes wrong. Then: copying, and the contents.
"use strict";
(() => {
  const root = document.documentElement;
  const failed = (message) => { root.dataset.errors = `${root.dataset.errors || ""}${message}\n`; };
  window.addEventListener("error", (event) => failed(event.message));
  window.addEventListener("unhandledrejection", (event) => failed(event.reason));
  window.addEventListener("securitypolicyviolation", (event) => failed(`blocked ${event.blockedURI}`));

  const THEMES = ["auto", "light", "dark"];
  const remembered = {
    get: () => { try { return localStorage.getItem("ontogeny-theme"); } catch { return null; } },
    set: (theme) => { try { localStorage.setItem("ontogeny-theme", theme); } catch { /* a browser that keeps nothing */ } },
  };
  const show = (theme) => {
    root.dataset.theme = theme;
    const label = document.querySelector("#theme span");
    if (label) label.textContent = theme;
    window.dispatchEvent(new Event("themechange"));
  };
  root.dataset.theme = THEMES.includes(remembered.get()) ? remembered.get() : "auto";

  document.addEventListener("DOMContentLoaded", () => {
    const toggle = document.querySelector("#theme");
    toggle.hidden = false;
    show(root.dataset.theme);
    toggle.addEventListener("click", () => {
      const theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      remembered.set(theme);
      show(theme);
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(root.dataset.theme));

    const copy = document.querySelector("#copy");
    copy?.addEventListener("click", async () => {
      const command = document.querySelector("#command");
      try {
        await navigator.clipboard.writeText(command.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1600);
    });

    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const watch = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((e) => e.isIntersecting)) {
        for (const link of links.values()) link.removeAttribute("aria-current");
        const link = links.get(entry.target.id);
        link.setAttribute("aria-current", "true");
        link.closest("ol").scrollTo({ left: link.offsetLeft - 60 });
      }
    }, { rootMargin: "-20% 0px -70% 0px" });
    for (const id of links.keys()) watch.observe(document.getElementById(id));
  });
})();

// Dark or light: the system's choice unless this browser was told otherwise. A classic script, so that it runs before
// the first paint.
"use strict";
(() => {
  const CHOICES = ["auto", "light", "dark"];
  const root = document.documentElement;

  const stored = () => {
    try {
      return localStorage.getItem("sidecar-theme");
    } catch {
      return null; // storage may be forbidden: then the choice lasts as long as the page
    }
  };

  const choose = (theme) => {
    root.dataset.theme = theme;
    try {
      localStorage.setItem("sidecar-theme", theme);
    } catch {
      // the same
    }
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
    root.dispatchEvent(new Event("themechange"));
  };

  root.dataset.theme = CHOICES.includes(stored()) ? stored() : "auto";
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${root.dataset.theme}`;
    button.addEventListener("click", () => choose(CHOICES[(CHOICES.indexOf(root.dataset.theme) + 1) % CHOICES.length]));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => root.dispatchEvent(new Event("themechange")));
})();

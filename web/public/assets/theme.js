// Before the first paint, so that a chosen theme and language do not flash. No module: it must run first.
(function () {
  try {
    var theme = localStorage.getItem("rwahub.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    var chosen = localStorage.getItem("rwahub.language") || navigator.language || "en";
    document.documentElement.lang = /^pt\b/i.test(chosen) ? "pt-BR" : "en";
  } catch (_) {
    // Storage refused: the system's theme and English.
  }
})();

// theme.js - the chosen theme, before anything is painted. Not a module, since those wait for the whole page.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem('convd-theme');
  } catch {
    // storage is closed to us: the system's theme it is
  }
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
})();
